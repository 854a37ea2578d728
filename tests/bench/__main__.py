"""Runs all benchmarks, or the named ones, one after another; prints a table and writes runs/bench.json.

    python -m tests.bench [NAME ...] [--data ../shared/data]

Each comparison in bench.json has `ours, reference, ratio, unit, repeats, command`. `reference` is what a user would run without
cotmix; a `ratio` above 1 means that ours is better. Run it on idle cores. Every script in this folder also runs alone.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BENCHES = {
    "mixture": ["mixture.py"],
    "verifier": ["verifier.py", "--data", "DATA"],
    "rollouts": ["rollouts.py"],
    "eval": ["eval_run.py", "--data", "DATA"],
    "ntp": ["ntp.py"],
    "sft": ["sft.py", "--data", "DATA"],
    "grpo": ["grpo.py", "smollm2", "--trl", "--steps", "3", "--repeats", "2"],
    "grpo-shared": ["grpo.py", "shared", "--steps", "3", "--repeats", "2"],
    "grpo-few-shot": ["grpo.py", "few-shot", "--steps", "4", "--repeats", "1", "--batches", "2"],
    "grpo-parity": ["grpo.py", "parity"],
    "cpu": ["cpu.py"],
    "server": ["server.py"],
    "server-smollm2": ["server.py", "smollm2", "--repeats", "1", "--steps", "3"],
    "ablate": ["ablate.py"],
    "memory": ["memory.py", "--data", "DATA"],
}


def run(name: str, data: str) -> dict[str, dict]:
    """Runs one benchmark, echoing its output; returns the comparisons that it printed as JSON."""
    script, *options = BENCHES[name]
    line = [sys.executable, str(HERE / script), *(data if word == "DATA" else word for word in options)]
    figures = {}
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        for text in process.stdout:
            print(text, end="", flush=True)
            if text.startswith("{"):
                figures |= json.loads(text)
    if process.returncode:
        print(f"error: {name} exited with status {process.returncode}", file=sys.stderr)
    return figures


def main() -> int:
    """Returns 1 if a benchmark printed no comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []], metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--data", default="../shared/data", help="folder with gsm8k/ and math/")
    args = parser.parse_args()
    names = args.names or list(BENCHES)
    missing = [name for name in ("gsm8k", "math") if not (Path(args.data) / name).is_dir()]
    if missing and any("DATA" in BENCHES[name] for name in names):
        parser.error(f"{args.data} has no folder {' and no '.join(missing)}: give --data DIR (make bench DATA=DIR)")
    out = HERE.parents[1] / "runs" / "bench.json"
    figures = json.loads(out.read_text()) if out.is_file() else {}
    failed = []
    for name in names:
        found = run(name, args.data)
        figures |= found
        failed += [] if found else [name]
        out.parent.mkdir(exist_ok=True)
        out.write_text(json.dumps(figures, indent=2) + "\n")
    print("\n| | ours | reference | unit | times better | repeats |\n|---|---|---|---|---|---|")
    for name, one in figures.items():
        print(f"| {name} | {one['ours']} | {one['reference']} | {one['unit']} | {one['ratio']} | {one['repeats']} |")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
