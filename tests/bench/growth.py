"""Measures how the cost of a step grows with d, p_cot and completions per step, on parity; prints a table, draws growth.png.

    python tests/bench/growth.py

Median seconds per step of recipes/sft.py (batch 256, from scratch) and of recipes/grpo.py (512 completions, after 60 steps of
SFT), configured as in recipes/parity/headline. The exponent is the slope of log(seconds) against log(x): 1 is linear.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path

from measure import ROOT, read_log, run, words

HEADLINE = ROOT / "recipes" / "parity" / "headline"
D, P_COT, COMPLETIONS = 50, 0.25, 512  # the base point: one of them varies at a time
STEPS = {"sft": 60, "grpo": 6}


def step_seconds(out: Path) -> float:
    """Median seconds per step, from the run's log."""
    ends = [entry["seconds"] for entry in read_log(out) if "loss" in entry]
    return statistics.median(after - before for before, after in zip(ends, ends[1:], strict=False))


def sft(folder: Path, d: int, p_cot: float) -> float:
    """Builds a mixture and trains on it; returns seconds per step."""
    source = f"sources.0.d={d}"
    given = ["--set", source, f"p_cot={p_cot}", f"n_train={256 * STEPS['sft']}", "n_test=8"]
    run([sys.executable, "-m", "data_mix", "build", HEADLINE / "mixture.yaml", "--out", folder / "mixture", *given])
    config = words(config=HEADLINE / "sft.yaml", mixture=folder / "mixture", output_dir=folder / "sft", max_length=2 * d + 8)
    model = {"model_type": "llama", "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 2}
    model |= {"num_attention_heads": 4, "initializer_range": 0.08, "max_position_embeddings": 2 * d + 16}
    size = words(max_steps=STEPS["sft"], heldout_problems=1, heldout_every=0, heldout_max_tokens=1, logging_steps=1)
    run([sys.executable, "recipes/sft.py", *config, *size, *words(report_to="none", model_config=json.dumps(model))])
    return step_seconds(folder / "sft")


def grpo(folder: Path, d: int, completions: int) -> float:
    """Trains the model from `sft`; returns seconds per step."""
    out = folder / f"grpo-{completions}"
    where = words(config=HEADLINE / "grpo.yaml", mixture=folder / "mixture", model_name_or_path=folder / "sft", output_dir=out)
    batches = max(1, completions // 128)
    size = words(per_device_train_batch_size=completions // batches, gradient_accumulation_steps=batches)
    limits = words(max_completion_length=d + 10, vllm_max_model_length=2 * d + 16, max_steps=STEPS["grpo"])
    quiet = words(learning_rate="1e-12", heldout_problems=1, heldout_every=0, report_to="none")
    run([sys.executable, "recipes/grpo.py", *where, *size, *limits, *quiet])
    return step_seconds(out)


def exponent(points: dict[float, float]) -> float:
    """Slope of log(seconds) against log(x), by least squares."""
    import numpy as np

    return float(np.polyfit(np.log(list(points)), np.log(list(points.values())), 1)[0])


def measure() -> dict[str, dict[float, float]]:
    """Seconds per step: "RECIPE, QUANTITY" → value of the quantity → seconds."""
    grown: dict[str, dict[float, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        for d, p_cot in ((D, P_COT), (25, P_COT), (100, P_COT), (D, 0.05), (D, 0.5), (D, 1.0)):
            folder = Path(name) / f"{d}-{p_cot}"
            times = {"SFT": sft(folder, d, p_cot), "GRPO": grpo(folder, d, COMPLETIONS)}
            for recipe, seconds in times.items():
                if p_cot == P_COT:
                    grown.setdefault(f"{recipe}, d", {})[d] = seconds
                if d == D:
                    grown.setdefault(f"{recipe}, p_cot", {})[p_cot] = seconds
            print(f"d {d}, p_cot {p_cot}: { ({recipe: round(seconds, 2) for recipe, seconds in times.items()}) }", flush=True)
        for completions in (64, 128, 256, 1024):
            seconds = grpo(Path(name) / f"{D}-{P_COT}", D, completions)
            grown.setdefault("GRPO, completions", {COMPLETIONS: grown["GRPO, d"][D]})[completions] = seconds
            print(f"completions {completions}: {seconds:.2f}", flush=True)
    return {what: dict(sorted(points.items())) for what, points in grown.items()}


def draw(grown: dict[str, dict[float, float]], path: Path) -> None:
    """One log-log panel per quantity."""
    from eval.report.figures import LINES, plt

    fig, axes = plt.subplots(1, 3, figsize=(11, 3.4))
    for axis, what in zip(axes, ("d", "p_cot", "completions"), strict=True):
        for recipe, colour in zip(("SFT", "GRPO"), LINES, strict=False):
            points = grown.get(f"{recipe}, {what}")
            if points:
                label = f"{recipe}, exponent {exponent(points):.2f}"
                axis.loglog(list(points), list(points.values()), "o-", color=colour, label=label)
        values = list(grown[f"GRPO, {what}"])
        axis.set_xticks(values, [f"{value:g}" for value in values])
        axis.minorticks_off()
        axis.set_yticks([0.25, 0.5, 1, 2, 4], ["0.25", "0.5", "1", "2", "4"])
        axis.set_xlabel(what)
        axis.legend()
    axes[0].set_ylabel("seconds per step")
    fig.tight_layout()
    fig.savefig(path)


if __name__ == "__main__":
    grown = measure()
    print("\n| what grows | seconds per step | exponent |\n|---|---|---|")
    for what, points in grown.items():
        shown = ", ".join(f"{value:g}: {seconds:.2f}" for value, seconds in points.items())
        print(f"| {what} | {shown} | {exponent(points):.2f} |")
    draw(grown, Path(__file__).parent / "growth.png")
