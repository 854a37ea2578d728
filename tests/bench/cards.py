"""Prints the costs in recipes/FIRST_GPU_RUN.md: the estimates of `launch check` for the Llama recipes. Needs no GPU.

    python recipes/export_smollm2.py --out models/smollm2-135m && python -m tests.bench.cards --data ../shared/data

The models are the published shapes without weights. Tokens are counted with SmolLM2's tokenizer in place of Llama's.
"""

import argparse
import tempfile
from pathlib import Path

import yaml

from data_mix.mixture_config import load_config
from data_mix.mixture_folder import build
from recipes.training.preflight.__main__ import check_config
from recipes.training.preflight.environment import GIB
from tests.cards import CARDS, SHAPES, environment, save_shape
from tests.conftest import ROOT

TFLOPS = {24: 165, 80: 312}  # peak in bf16 without sparsity: RTX 4090, A100

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", default="models/smollm2-135m")
    parser.add_argument("--data", default="../shared/data", help="folder with gsm8k/ and math/")
    args = parser.parse_args()
    print("| recipe | stage | GiB | M tokens trained on | M tokens sampled | PFLOP | hours |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = {size: save_shape(folder / size, size, args.tokenizer) for size in SHAPES}
        for study in ("gsm8k", "math"):
            mixture = ROOT / "recipes" / study / "llama" / "mixture.yaml"
            build(load_config(str(mixture), [f"sources.0.path={args.data}/{study}"]), str(folder / study))
            for card, (gpus, _, size) in CARDS.items():
                for stage in ("sft", "grpo", "star"):
                    base, config = mixture.parent / card / f"{stage}.yaml", folder / "config.yaml"
                    fields = {"base": str(base), "mixture": str(folder / study), "output_dir": str(folder / "run")}
                    config.write_text(yaml.safe_dump(fields | {"model_name_or_path": models[card.split("-")[0]]}))
                    findings, memory, cost = check_config(str(config), environment(card, stage))
                    if problems := [str(f) for f in findings if f.level == "error" and f.field != "disk"]:
                        raise SystemExit(f"error: {base}: {'; '.join(problems)}")
                    figures = [f"{memory.total() / GIB:.1f}", f"{cost.trained / 1e6:.1f}", f"{cost.sampled / 1e6:.1f}"]
                    hours = f"{cost.hours(TFLOPS[size], gpus):.1f}"
                    figures += [f"{cost.flops / 1e15:,.0f}", "<0.1" if hours == "0.0" else hours]
                    print(f"| {study}/llama/{card} | {stage} | {' | '.join(figures)} |", flush=True)
