"""The linear model of arXiv 2510.11495 for parity with chain-of-thought: one logistic predictor per position, trained by SGD.

    python recipes/linear.py                     # the four studies below at d = 50, with a figure, into runs/linear
    python recipes/linear.py --study star --d 1000 --p-cot 0.25

Inputs are x in {-1, 1}^d. A long completion consists of the d prefix products, a short one of the product of all inputs; both
then end. The first predictor is linear in x. The others are linear in the products of x with the previous token (degree-2
features). After the first token, another predictor decides whether the completion ends. No single predictor can compute the
product of all d inputs, so short completions are correct half of the time; a chain of predictors can.

calibration  sampled p_long and accuracy against p_cot: the model is long as often as its training data
threshold    greedy p_long against p_cot: after a first token equal to x_1, ending has weight (1 - p) / 2 against p, so greedy
             completions turn long at p = 1/3
star         rounds of STaR: p_long follows 2 p / (1 + p)
steps        SGD steps until long completions are correct, against d
"""

import argparse
import copy
import json
import time
from pathlib import Path

import numpy as np

STUDIES = ("calibration", "threshold", "star", "steps")
P_COTS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.28, 0.3, 0.32, 0.34, 0.36, 0.38, 0.4, 0.45, 0.5)
DECAY = 1e-5  # weight decay
RATE = 8.0  # initial learning rate; decays linearly to a hundredth


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)) without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * z))


class ChainModel:
    """The predictors: `first` (d,) for y_1, `stop` (d + 1,) for the end after y_1, `chain` (d - 1, d) for y_2 ... y_d."""

    def __init__(self, d: int) -> None:
        self.first = np.zeros(d, np.float32)
        self.stop = np.zeros(d + 1, np.float32)
        self.chain = np.zeros((d - 1, d), np.float32)

    def p_first(self, x: np.ndarray) -> np.ndarray:
        """P(y_1 = 1), (n,)."""
        return sigmoid(x @ self.first)

    def p_stop(self, x: np.ndarray, y_1: np.ndarray) -> np.ndarray:
        """P(end after y_1), (n,)."""
        return sigmoid(self.stop[0] + y_1 * (x @ self.stop[1:]))

    def update(self, x: np.ndarray, y: np.ndarray, is_long: np.ndarray, rate: float) -> None:
        """One SGD step on completions `y` (n, d); of short ones only y_1 is used."""
        n, y_1 = len(x), y[:, 0]
        self.first -= rate * (x.T @ (self.p_first(x) - (y_1 + 1) / 2) / n + DECAY * self.first)
        error = self.p_stop(x, y_1) - ~is_long
        self.stop -= rate * (np.concatenate([[error.sum()], (error * y_1) @ x]) / n + DECAY * self.stop)
        x, y = x[is_long], y[is_long]
        before, after = y[:, :-1], y[:, 1:]
        error = (sigmoid(before * (x @ self.chain.T)) - (after + 1) / 2) * before
        self.chain -= rate * (error.T @ x / n + DECAY * self.chain)

    def complete(self, x: np.ndarray, rng: np.random.Generator | None) -> tuple[np.ndarray, np.ndarray]:
        """Completions (n, d) and whether each is long, (n,); greedy if `rng` is None, else sampled."""

        def draw(p: np.ndarray) -> np.ndarray:
            return p > (0.5 if rng is None else rng.random(len(p), dtype=np.float32))

        y = np.empty_like(x)
        y[:, 0] = np.where(draw(self.p_first(x)), 1, -1)
        is_long = ~draw(self.p_stop(x, y[:, 0]))
        logits = x @ self.chain.T
        for i in range(1, x.shape[1]):
            y[:, i] = np.where(draw(sigmoid(y[:, i - 1] * logits[:, i - 1])), 1, -1)
        return y, is_long

    def chain_accuracy(self, x: np.ndarray) -> float:
        """The probability that all later tokens of a long completion are correct, given its first; mean over `x`."""
        y = np.cumprod(x, axis=1)
        return float(np.prod(sigmoid(y[:, 1:] * y[:, :-1] * (x @ self.chain.T)), axis=1).mean())


def draw_inputs(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Uniform inputs, (n, d)."""
    return rng.integers(0, 2, (n, d), dtype=np.int8).astype(np.float32) * 2 - 1


def draw_mixture(rng: np.random.Generator, n: int, d: int, p_cot: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A batch of the mixture: inputs (n, d), completions (n, d), whether each is long (n,)."""
    x, is_long = draw_inputs(rng, n, d), rng.random(n) < p_cot
    y = np.cumprod(x, axis=1)
    y[~is_long, 0] = y[~is_long, -1]
    return x, y, is_long


def pretrain(d: int, p_cot: float, steps: int, batch: int, rng: np.random.Generator) -> ChainModel:
    """SGD on fresh rows of the mixture."""
    model = ChainModel(d)
    for step in range(steps):
        model.update(*draw_mixture(rng, batch, d, p_cot), RATE * max(1 - step / steps, 0.01))
    return model


def measure(model: ChainModel, rng: np.random.Generator | None, x: np.ndarray) -> dict[str, float]:
    """p_long, accuracy, and accuracy by form (None if a form does not occur)."""
    y, is_long = model.complete(x, rng)
    correct = np.where(is_long, y[:, -1], y[:, 0]) == x.prod(axis=1)
    by_form = {"accuracy_long": correct[is_long], "accuracy_short": correct[~is_long]}
    metrics = {"p_long": float(is_long.mean()), "accuracy": float(correct.mean())}
    return metrics | {name: float(values.mean()) if len(values) else None for name, values in by_form.items()}


def over_p_cot(args: argparse.Namespace, rng: np.random.Generator) -> list[dict]:
    """Greedy and sampled metrics at each p_cot, for the studies `calibration` and `threshold`."""
    x = draw_inputs(rng, 20_000, args.d)
    rows = []
    for p_cot in P_COTS:
        model = pretrain(args.d, p_cot, args.steps, args.batch, rng)
        row = {"p_cot": p_cot, "greedy": measure(model, None, x), "sampled": measure(model, rng, x)}
        print(f"p_cot {p_cot:.2f}  " + "  ".join(f"{kind}: {show(row[kind])}" for kind in ("greedy", "sampled")), flush=True)
        rows.append(row)
    return rows


def crossing(rows: list[dict]) -> float | None:
    """The p_cot at which half of the greedy completions are long, interpolated linearly; None if they never are."""
    points = [(row["p_cot"], row["greedy"]["p_long"]) for row in rows]
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        if y0 < 0.5 <= y1:
            return x0 + (0.5 - y0) / (y1 - y0) * (x1 - x0)
    return None


def star(args: argparse.Namespace, rng: np.random.Generator) -> list[dict]:
    """STaR after pre-training: each round trains on completions sampled from the model at its start that are correct."""
    model, rows, predicted = pretrain(args.d, args.p_cot, args.steps, args.batch, rng), [], None
    held_out = draw_inputs(rng, 50_000, args.d)
    for number in range(args.rounds + 1):
        metrics = measure(model, rng, held_out) | {"greedy": measure(model, None, held_out)["p_long"]}
        rows.append({"round": number, "predicted": predicted, **metrics})
        prediction = "" if predicted is None else f"predicted {predicted:.3f} "
        print(f"round {number}  {prediction}{show(metrics)}", flush=True)
        predicted = 2 * metrics["p_long"] / (1 + metrics["p_long"])
        sampler, steps = copy.deepcopy(model), args.steps // 2
        for step in range(steps if number < args.rounds else 0):
            x = draw_inputs(rng, args.batch, args.d)
            y, is_long = sampler.complete(x, rng)
            kept = np.where(is_long, y[:, -1], y[:, 0]) == x.prod(axis=1)
            model.update(x[kept], y[kept], is_long[kept], RATE * max(1 - step / steps, 0.01))
    return rows


def steps_to_learn(args: argparse.Namespace, rng: np.random.Generator) -> list[dict]:
    """SGD steps (batch size 32, constant rate 1) until long completions are correct with probability 0.9, for each d."""
    rows = []
    for d in (25, 50, 100, 200):
        model, step, held_out = ChainModel(d), 0, draw_inputs(rng, 1000, d)
        while model.chain_accuracy(held_out) < 0.9:
            for _ in range(20):
                model.update(*draw_mixture(rng, 32, d, args.p_cot), 1.0)
            step += 20
        rows.append({"d": d, "steps": step})
        print(f"d {d}: {step} steps", flush=True)
    exponent = np.polyfit(np.log([row["d"] for row in rows]), np.log([row["steps"] for row in rows]), 1)[0]
    print(f"steps grow as d^{exponent:.2f}")
    return [*rows, {"exponent": float(exponent)}]


def show(metrics: dict) -> str:
    """The metrics on one line."""
    return " ".join(f"{name} {value:.3f}" for name, value in metrics.items() if value is not None)


def draw(results: dict, path: Path) -> None:
    """Draws one panel per study."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 4, figsize=(15, 3.6))
    grid = results.get("threshold", results.get("calibration", []))
    for ax, kind, title in ((axes[0], "sampled", "calibration: sampled"), (axes[1], "greedy", "threshold: greedy")):
        for metric in ("p_long", "accuracy"):
            ax.plot([row["p_cot"] for row in grid], [row[kind][metric] for row in grid], marker="o", ms=3, label=metric)
        line = {"sampled": ([0, 0.5], [0, 0.5]), "greedy": ([1 / 3] * 2, [0, 1])}[kind]
        ax.plot(*line, "k:", lw=1, label="theory")
        ax.set(title=title, xlabel="p_cot")
    rounds = results.get("star", [])
    axes[2].plot([row["round"] for row in rounds], [row["p_long"] for row in rounds], marker="o", ms=3, label="p_long")
    axes[2].plot([r["round"] for r in rounds[1:]], [r["predicted"] for r in rounds[1:]], "k:", label="2p / (1 + p)")
    axes[2].set(title="STaR", xlabel="round")
    sizes = [row for row in results.get("steps", []) if "d" in row]
    axes[3].loglog([row["d"] for row in sizes], [row["steps"] for row in sizes], marker="o", ms=3, label="steps to learn")
    axes[3].set(title="steps to learn", xlabel="d")
    axes[3].set_xticks([row["d"] for row in sizes], [row["d"] for row in sizes])
    axes[3].minorticks_off()
    for ax in axes:
        if ax.lines:
            ax.legend(frameon=False, fontsize=8)
    fig.tight_layout()
    fig.savefig(path)


def main() -> None:
    """Runs the chosen studies; writes DIR/linear.json and DIR/linear.png."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", choices=STUDIES, nargs="+", default=STUDIES)
    parser.add_argument("--d", type=int, default=50, help="number of inputs (50)")
    parser.add_argument("--p-cot", type=float, default=0.25, help="for the studies star and steps (0.25)")
    parser.add_argument("--steps", type=int, default=3000, help="pre-training SGD steps; STaR rounds take half as many (3000)")
    parser.add_argument("--batch", type=int, default=256, help="rows per step (256)")
    parser.add_argument("--rounds", type=int, default=8, help="rounds of STaR (8)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/linear"), metavar="DIR")
    args = parser.parse_args()
    if args.d < 2 or not 0 < args.p_cot < 1 or min(args.steps, args.batch, args.rounds) < 1:
        parser.error("--d must be at least 2, --p-cot between 0 and 1, --steps, --batch and --rounds at least 1")
    rng, results, began = np.random.default_rng(args.seed), {}, time.monotonic()
    if {"calibration", "threshold"} & set(args.study):
        results["calibration"] = results["threshold"] = over_p_cot(args, rng)
        if threshold := crossing(results["threshold"]):
            print(f"half of the greedy completions are long at p_cot {threshold:.3f} (theory: 0.333)")
    if "star" in args.study:
        results["star"] = star(args, rng)
    if "steps" in args.study:
        results["steps"] = steps_to_learn(args, rng)
    args.out.mkdir(parents=True, exist_ok=True)
    config = {name: value for name, value in vars(args).items() if name != "out"}
    (args.out / "linear.json").write_text(json.dumps({"config": config, **results}) + "\n")
    draw(results, args.out / "linear.png")
    print(f"{args.out}/linear.png and linear.json, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
