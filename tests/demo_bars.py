"""Checks a finished `make demo` against what the demo must show: `python tests/demo_bars.py runs/demo`."""

import json
import sys
from pathlib import Path


def read(run: Path, name: str) -> dict:
    return json.loads((run / "eval" / name / "metrics.json").read_text())


def main(folder: str) -> int:
    run = Path(folder)
    sft, sampled, grpo = (read(run, name) for name in ("sft", "sft-sampled", "grpo"))
    log = [json.loads(line) for line in (run / "grpo" / "log.jsonl").read_text().splitlines()]
    steps = [entry for entry in log if "reward" in entry]
    difference = max(entry["sampling/sampling_logp_difference/mean"] for entry in steps)
    bars = {
        f"SFT greedy accuracy {sft['accuracy']['value']:.3f} in 0.40 to 0.62": 0.40 <= sft["accuracy"]["value"] <= 0.62,
        f"SFT median length {sft['length']['p50']:g} is 1": sft["length"]["p50"] == 1,
        f"SFT sampled p_long {sampled['p_long']:.3f} is 0.25 within 0.07": abs(sampled["p_long"] - 0.25) <= 0.07,
        f"SFT sampled accuracy_long {sampled['accuracy_long']:.3f} at least 0.95": sampled["accuracy_long"] >= 0.95,
        f"{len(steps)} GRPO steps, at most 40": 0 < len(steps) <= 40,
        f"GRPO greedy accuracy {grpo['accuracy']['value']:.3f} at least 0.99": grpo["accuracy"]["value"] >= 0.99,
        f"GRPO median length {grpo['length']['p50']:g} is 16": grpo["length"]["p50"] == 16,
        f"{grpo['n_problems']} held-out problems, at least 1000": grpo["n_problems"] >= 1000,
        f"sampler and trainer log-probs differ by at most {difference:.4f}, bar 0.01": difference <= 0.01,
        "report.html is there": (run / "report.html").is_file(),
    }
    for bar, met in bars.items():
        print("pass" if met else "FAIL", bar)
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
