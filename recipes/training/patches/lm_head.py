"""Patches to TRL's fused LM head for CPU, tested with 1.16.0: fewer positions, and less work for each."""

import torch

from eval.generation.machine import has_gpu

TILE = 2**25  # logits at a time: 128 MiB in float32


def score_on_cpu() -> None:
    """On CPU, makes TRL's fused LM head do less work (figures: tests/bench/README.md).

    Only positions that have a label are projected, as on CUDA. Without Triton, TRL projects prompts and padding, too, to keep
    tile shapes constant for compilers; nothing is compiled here.

    A tile has all words of the vocabulary, and the gradient fewer passes over it. TRL's tiles have 32,768 words, so it sums
    their gradients in float32, with products in float32: in bfloat16, rounding each of them would bias training. Products over
    the whole vocabulary are rounded once, as with ordinary logits, and a weight's gradient once per tile, as it is once per
    micro-batch. So they are taken in the model's precision.

    Upstream: trl/trainer/utils.py, `compact = _use_triton(...)`, its only use there, and `_ChunkedLogProbFunction`;
    trl/kernels/chunked_logprob.py.
    Remove when: TRL's code for devices without Triton does the same.
    """
    if has_gpu():
        return
    from trl.kernels import chunked_logprob
    from trl.trainer import utils

    class WholeVocabulary(chunked_logprob.ChunkedLogProbFunction):
        @staticmethod
        def forward(ctx, hidden, weight, bias, targets, temperature, chunk_size, *more):
            chunked_logprob.TOKEN_CHUNK_SIZE = max(1, TILE // len(weight))
            return chunked_logprob.ChunkedLogProbFunction.forward(
                ctx, hidden, weight, bias, targets, temperature, len(weight), *more
            )

    utils._use_triton = lambda device: True
    utils._ChunkedLogProbFunction = WholeVocabulary
    chunked_logprob._addmm_fp32 = add_product
    original = chunked_logprob._backward_tile

    def backward_tile(tile, stride, targets, log_z, entropy, grad_logprobs, *more, **flags) -> None:
        if flags["HAS_SOFTCAP"] or flags["HAS_ENTROPY_GRAD"] or not flags["HAS_LOGPROB_GRAD"]:
            original(tile, stride, targets, log_z, entropy, grad_logprobs, *more, **flags)
        else:
            replace_by_gradient(tile, targets, log_z, grad_logprobs, flags["logit_scale"] * flags["inv_t"])

    chunked_logprob._backward_tile = backward_tile


def add_product(total: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    """Adds a @ b, computed in its own precision, to a total in float32."""
    if a.dtype == total.dtype:
        total.addmm_(a, b)
    else:
        total.add_(a @ b)


def replace_by_gradient(logits: torch.Tensor, targets: torch.Tensor, log_z, gradient, scale: float) -> None:
    """Overwrites logits with the gradient of a loss with respect to them.

    Args:
        logits: (tokens, vocabulary).
        targets: (tokens,), the word of each.
        log_z: (tokens,), the log of the sum of exp(scale x logit).
        gradient: (tokens,), of the loss with respect to the log-prob of each target.
        scale: of the logits; the inverse of the temperature.
    """
    gradient = gradient.unsqueeze(1) * scale
    values = logits.float()  # the logits themselves in float32, otherwise a copy
    values.mul_(scale).sub_(log_z.unsqueeze(1)).exp_().mul_(-gradient).scatter_add_(1, targets.unsqueeze(1), gradient)
    logits.copy_(values)
