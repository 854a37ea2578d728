"""What replaces TRL's LM head and PyTorch's attention on CPU, against them; forward and backward, shapes of SmolLM2-135M.

    python tests/bench/cpu.py

The LM head has 1,488 tokens, a micro-batch of 16 completions of 93; attention, in one layer, these completions' tokens after
prompts of 80, two prompts of 600, and ten rows of 100 of SFT. On CPUs with fast bfloat16 also in that.
"""

import argparse
import time

from eval.generation import machine

machine.prepare()

import torch
from measure import publish
from torch.nn.functional import scaled_dot_product_attention
from trl.kernels.chunked_logprob import ChunkedLogProbFunction
from trl.trainer import utils

from recipes.training.patches import lm_head
from recipes.training.trainers.cpu_attention import causal_attention, causal_mask

COMPLETIONS, COLUMNS, VOCABULARY, HIDDEN, HEADS, KEY_HEADS = 16, 93, 49_152, 576, 9, 3
ATTENTION = {  # sequences, queries of each, keys before them
    "of 16 completions of 93 to prompts of 80": (COMPLETIONS, COLUMNS, 80),
    "of 2 prompts of 600": (2, 600, 0),
    "of 10 rows of 100": (10, 100, 0),
}


def milliseconds(output, count: int) -> list[float]:
    """Of a forward and a backward pass, `count` times after a first one; `output` computes a scalar."""
    times = []
    for _ in range(count + 1):
        began = time.perf_counter()
        output().backward()
        times.append(1000 * (time.perf_counter() - began))
    return times[1:]


def score(head, hidden, weight, targets, autocast: bool):
    """The sum of the log-probs of the targets, as a function."""

    def run() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            return head.apply(hidden, weight, None, targets, 1.0, 32768, None, 1.0, ("entropy",))[0].sum()

    return run


def pytorchs_attention(query, key, value, mask, scaling: float) -> torch.Tensor:
    """As transformers calls it."""
    key, value = (states.repeat_interleave(HEADS // KEY_HEADS, dim=1) for states in (key, value))
    return scaled_dot_product_attention(query, key, value, mask, scale=scaling, is_causal=mask is None)


def attend(way, states: list, mask):
    """The sum of what queries get, as a function."""
    return lambda: way(*states, mask, 0.125).sum()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    count = parser.parse_args().repeats
    torch.manual_seed(0)
    targets = torch.randint(VOCABULARY, (COMPLETIONS * COLUMNS,))
    hidden = torch.randn(len(targets), HIDDEN).requires_grad_()
    weight = (0.05 * torch.randn(VOCABULARY, HIDDEN)).requires_grad_()  # logits of about 1
    dtypes = [torch.float32, *([torch.bfloat16] if machine.has_bfloat16() else [])]
    theirs = {
        dtype: milliseconds(score(ChunkedLogProbFunction, hidden, weight, targets, dtype != dtypes[0]), count)
        for dtype in dtypes
    }
    lm_head.score_on_cpu()
    for dtype in dtypes:
        name = str(dtype).removeprefix("torch.")
        ours = milliseconds(score(utils._ChunkedLogProbFunction, hidden, weight, targets, dtype != dtypes[0]), count)
        publish(f"LM head in {name}", ours, theirs[dtype], "ms")
        for what, (sequences, columns, before) in ATTENTION.items():
            shapes = [(HEADS, columns), (KEY_HEADS, before + columns), (KEY_HEADS, before + columns)]
            states = [torch.randn(sequences, *shape, HIDDEN // HEADS, dtype=dtype).requires_grad_() for shape in shapes]
            mask = causal_mask(columns, before + columns, targets.device) if before else None
            times = [milliseconds(attend(way, states, mask), count) for way in (causal_attention, pytorchs_attention)]
            publish(f"attention in {name} {what}", *times, "ms")
