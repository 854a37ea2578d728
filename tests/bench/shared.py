"""The trainer's pass over one micro-batch with shared prompts, against the ordinary pass: forward and backward, in float32.

    python recipes/export_smollm2.py --out models/smollm2-135m && python -m tests.bench.shared

Groups of 8 completions of random tokens; in mixed groups three of them are long, and the others short. The ways alternate.
"""

import argparse
import time

from eval.generation import machine

machine.prepare()

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from trl.trainer.utils import add_fused_lm_head

from recipes.training.patches.lm_head import score_on_cpu
from recipes.training.trainers import packed_rows
from tests.bench.measure import publish
from tests.recipes.test_shared_prompts import micro_batch, ordinary, packed

PARITY = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 50}
CASES = {  # prompt tokens, completion tokens, groups
    "SmolLM2-135M, 80 + 96": (80, [96] * 8, 1),
    "SmolLM2-135M, 80 + 96, two groups": (80, [96] * 8, 2),
    "SmolLM2-135M, 80 + 96, two mixed groups": (80, [96, 96, 96, *[10] * 5], 2),
    "SmolLM2-135M, 600 + 96": (600, [96] * 8, 1),
    "parity's Llama, 17 + 16, 16 mixed groups": (17, [16, 16, 16, *[1] * 5], 16),
    "parity's Llama, 50 + 51, 16 mixed groups": (50, [51, 51, 51, *[1] * 5], 16),
    "parity's Llama, 50 + 51, 16 groups": (50, [51] * 8, 16),
    "parity's Llama, 12 + 12, 16 groups": (12, [12] * 8, 16),
}


def seconds(score, model, ids: torch.Tensor, mask: torch.Tensor, columns: int) -> float:
    """Of a forward and a backward pass."""
    model.zero_grad()
    began = time.perf_counter()
    score(model, ids, mask, columns)[0].sum().backward()
    return time.perf_counter() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/smollm2-135m")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    score_on_cpu()
    packed_rows.register()
    small = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **PARITY))
    large = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    for model in (small, large):
        add_fused_lm_head(model.train(), outputs=("log_probs", "entropy"))
    for name, (prompt, lengths, groups) in CASES.items():
        model, columns = large if name.startswith("Smol") else small, max(lengths)
        ids, mask = micro_batch([(prompt, lengths)] * groups, columns)
        repeats = args.repeats * (1 if model is large else 10)
        both = [[seconds(score, model, ids, mask, columns) for score in (packed, ordinary)] for _ in range(repeats + 1)][1:]
        publish(f"shared prompts, {name}", *zip(*both, strict=True), "s")
