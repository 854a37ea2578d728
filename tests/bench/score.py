"""Times the rescoring of 10,000 completions (`python -m eval score`) on real GSM8K solutions, in wall seconds.

    python tests/bench/score.py --data ../shared/data

Half of the completions are a problem's own solution, half are the next problem's. `same metrics` must be true.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path


def main() -> None:
    from verifier import completions  # beside this file

    from eval.scoring.eval_folder import read_completions, write_folder

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    args = parser.parse_args()
    pairs = completions(args.data, "gsm8k", 10_000)
    shared = {"source": "gsm8k", "prompt": "?", "meta": '{"style": "gsm8k"}', "truncated": False}
    rows = [
        {**shared, "problem_id": f"p{i // 8}", "sample": i % 8, "completion": text, "answer": gold, "n_tokens": len(text)}
        for i, (text, gold) in enumerate((pairs * (10_000 // len(pairs) + 1))[:10_000])
    ]
    with tempfile.TemporaryDirectory() as folder:
        first = write_folder(f"{folder}/e", rows, {"model": "m", "temperature": 1.0, "seed": 0, "max_tokens": 9})
        began = time.perf_counter()
        again = write_folder(f"{folder}/e", *read_completions(f"{folder}/e"))
        seconds = time.perf_counter() - began
    print(json.dumps({"completions": len(rows), "seconds": round(seconds, 2), "same metrics": first == again}))


if __name__ == "__main__":
    main()
