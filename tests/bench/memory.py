"""Measures the peak memory of each stage, with SmolLM2-135M as in recipes/gsm8k, against the 12 GiB free on a small laptop.

    python recipes/export_smollm2.py --out models/smollm2-135m && python tests/bench/memory.py --data ../shared/data

Each stage runs for a few steps on real GSM8K rows, all in long form, so that every batch has the largest width. For SFT and
GRPO, also of the demo's small Llama, it compares the estimate of the preflight checks, plus the libraries' own memory, with
the measured peak.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

from measure import ROOT, publish, run, words

STUDY, DEMO = ROOT / "recipes" / "gsm8k", ROOT / "recipes" / "parity"
LIMIT = 12.0  # GiB
SHORT = {"max-tokens": 200, "max-truncated": 1}  # completions of `eval run`

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/smollm2-135m")
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--steps", type=int, default=4, help="training steps of SFT and of GRPO")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        quiet = {"report_to": "none", "heldout_problems": 1}  # held-out completions take time, and less memory than training
        long = ["--set", "p_cot=1", f"sources.0.path={args.data}/gsm8k"]
        shared = words(model_name_or_path=args.model, mixture=folder / "mixture", max_steps=args.steps, **quiet)
        cpu, asked = STUDY / "smollm2-135m-cpu", words(model=args.model, mixture=folder / "mixture", out=folder / "eval")
        stages = {
            "data_mix build": ["-m", "data_mix", "build", STUDY / "mixture.yaml", "--out", folder / "mixture", *long],
            "SFT": ["recipes/sft.py", *words(config=cpu / "sft.yaml", output_dir=folder / "sft"), *shared],
            "GRPO": ["recipes/grpo.py", *words(config=cpu / "grpo.yaml", output_dir=folder / "grpo"), *shared],
            "eval run": ["-m", "eval", "run", *asked, *words(problems=32, samples=8, temperature=1), *words(**SHORT)],
        }
        steps = words(mixture=folder / "demo", max_steps=args.steps, **quiet)
        start = words(model_name_or_path=folder / "demo-sft", output_dir=folder / "demo-grpo")
        stages |= {
            "the demo's mixture": ["-m", "data_mix", "build", DEMO / "mixture.yaml", "--out", folder / "demo"],
            "the demo's SFT": ["recipes/sft.py", *words(config=DEMO / "sft.yaml", output_dir=folder / "demo-sft"), *steps],
            "the demo's GRPO": ["recipes/grpo.py", *words(config=DEMO / "grpo.yaml"), *start, *steps],
        }
        imports = "from launch import fork_server; fork_server.import_libraries()"
        _, libraries = run([sys.executable, "-c", imports])
        print(f"libraries: {libraries:.2f} GiB")
        for stage, line in stages.items():
            out, peak = run([sys.executable, *line])
            publish(f"memory of {stage}", [peak], [LIMIT], "GiB")
            if estimate := re.search(r"about ([\d.]+) GiB each", out):
                publish(f"estimated memory of {stage}", [libraries + float(estimate[1])], [peak], "GiB")
