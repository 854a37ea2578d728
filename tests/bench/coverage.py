"""Measures the coverage of eval's 95% intervals by simulation.

    python tests/bench/coverage.py

Each simulated run draws one solve rate per problem from a Beta distribution, whose mean is the true accuracy, and then samples.
"""

import argparse
import json

import numpy as np

from eval.scoring.metrics import bootstrap_ci95

BETAS = {0.5: (1.0, 1.0), 0.8: (1.2, 0.3), 0.2: (0.3, 1.2)}  # mean -> parameters; few problems of medium difficulty


def covered(rng: np.random.Generator, n: int, samples: int, beta: tuple[float, float]) -> bool:
    """Whether the interval of one simulated run contains the mean of `beta`."""
    shares = rng.binomial(samples, rng.beta(*beta, n)) / samples
    low, high = bootstrap_ci95(shares, seed=int(rng.integers(2**31)))
    return low <= beta[0] / sum(beta) <= high


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    for n in (100, 1000):
        for samples in (1, 8):
            for mean, beta in BETAS.items():
                share = np.mean([covered(rng, n, samples, beta) for _ in range(args.simulations)])
                print(
                    json.dumps({"problems": n, "samples": samples, "accuracy": mean, "coverage": round(float(share), 4)}),
                    flush=True,
                )
