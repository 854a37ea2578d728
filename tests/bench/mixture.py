"""Compares `data_mix build` of a large parity mixture with `datasets.Dataset.from_generator` writing the same columns.

    python tests/bench/mixture.py --rows 10000000

The two alternate, each in a separate process. The generator is what a user would write: random bits, without a check for
duplicates. Prints seconds, peak memory of the process and the ratio.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import publish

ROOT = Path(__file__).parents[2]


def ours(rows: int, d: int, scratch: str) -> None:
    from data_mix.mixture_config import parse_config
    from data_mix.mixture_folder import build

    raw = {"p_cot": 0.25, "n_train": rows, "n_test": 1000, "sources": [{"task": "parity", "d": d}]}
    build(parse_config(raw), f"{scratch}/mixture")


def reference(rows: int, d: int, scratch: str) -> None:
    from datasets import Dataset

    from data_mix.forms import write_completion
    from data_mix.tasks.parity import make_problem

    def generate():
        rng = random.Random(0)
        for _ in range(rows):
            problem = make_problem(f"{rng.getrandbits(d):0{d}b}")
            form = "long" if rng.random() < 0.25 else "short"
            yield {
                "problem_id": problem.id,
                "source": problem.source,
                "form": form,
                "prompt": problem.prompt,
                "completion": write_completion(problem.steps, problem.answer, "parity", form),
                "answer": problem.answer,
                "meta": json.dumps(problem.meta),
            }

    Dataset.from_generator(generate, cache_dir=scratch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--d", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=("ours", "reference"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        with tempfile.TemporaryDirectory() as scratch:
            began = time.perf_counter()
            {"ours": ours, "reference": reference}[args.only](args.rows, args.d, scratch)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(json.dumps({"seconds": round(time.perf_counter() - began, 1), "peak GiB": round(peak, 2)}))
        return
    measured = {"ours": [], "reference": []}
    for _ in range(args.repeats):
        for name, kept in measured.items():
            line = [sys.executable, __file__, "--only", name, "--rows", str(args.rows), "--d", str(args.d)]
            printed = subprocess.run(
                line, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
            ).stdout
            kept.append(json.loads(printed.splitlines()[-1]))
            print(f"{name}: {kept[-1]}", flush=True)
    publish("mixture", *([one["seconds"] for one in kept] for kept in measured.values()), f"s for {args.rows} rows")


if __name__ == "__main__":
    main()
