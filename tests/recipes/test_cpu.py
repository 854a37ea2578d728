"""What replaces TRL's and PyTorch's operations on CPU: the same log-probs and gradients as theirs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention
from trl.kernels import chunked_logprob
from trl.trainer import utils

from recipes.training.patches import lm_head
from recipes.training.trainers.cpu_attention import causal_attention, causal_mask

ENTROPY = ("entropy",)


def head(function, dtype, temperature=1.0, softcap=None, entropy_weight=0.0):
    """Log-probs and entropies of 40 tokens in a vocabulary of 50, and the gradients of hidden states and weights."""
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(40, 8), torch.randn(50, 8), torch.randint(50, (40,))
    hidden.requires_grad_()
    weight.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
        logps, entropies, *_ = function.apply(hidden, weight, None, targets, temperature, 32, softcap, 1.0, ENTROPY)
    (logps * torch.linspace(-1, 1, 40)).sum().add(entropy_weight * entropies.sum()).backward()
    return logps.detach(), entropies.detach(), hidden.grad, weight.grad


@pytest.fixture
def patched(monkeypatch):
    """TRL's LM head with our patch, in tiles of 16 tokens."""
    for module, name in (
        *((utils, name) for name in ("_use_triton", "_ChunkedLogProbFunction")),
        *((chunked_logprob, name) for name in ("TOKEN_CHUNK_SIZE", "_addmm_fp32", "_backward_tile")),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(lm_head, "TILE", 16 * 50)

    def run(*args, **more):
        theirs = head(chunked_logprob.ChunkedLogProbFunction, *args, **more)
        lm_head.score_on_cpu()
        return theirs, head(utils._ChunkedLogProbFunction, *args, **more)

    return run


@pytest.mark.parametrize("more", [{}, {"temperature": 0.7}, {"softcap": 3.0}, {"entropy_weight": 0.1}], ids=str)
def test_the_lm_head_in_float32_is_trls(patched, more):
    for theirs, ours in zip(*patched(torch.float32, **more), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-5)


def test_the_lm_head_in_bfloat16_is_as_exact_as_ordinary_logits(patched):
    class Ordinary:
        @staticmethod
        def apply(hidden, weight, bias, targets, *_):
            logps = torch.nn.functional.linear(hidden, weight).float().log_softmax(-1)
            return logps.gather(1, targets.unsqueeze(1)).squeeze(1), torch.zeros(len(targets))

    def error(found):
        return [((one - two).norm() / two.norm()).item() for one, two in zip(found[2:], exact[2:], strict=True)]

    exact, (_, ours), ordinary = head(Ordinary, torch.float32), patched(torch.bfloat16), head(Ordinary, torch.bfloat16)
    assert all(one < 1.2 * two for one, two in zip(error(ours), error(ordinary), strict=True))


def pytorchs(query, key, value, mask):
    """PyTorch's own attention, which takes no groups of heads for values of another size."""
    key, value = (states.repeat_interleave(query.shape[1] // states.shape[1], dim=1) for states in (key, value))
    return scaled_dot_product_attention(query, key, value, mask, scale=0.3)


@given(
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(1, 150),
    st.integers(0, 7),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_attention_is_pytorchs(batch, key_heads, group, queries, before, padded, half):
    dtype = torch.bfloat16 if half else torch.float32
    generator = torch.Generator().manual_seed(0)
    mask = causal_mask(queries, before + queries, torch.device("cpu"))
    if padded:
        mask = mask & (torch.rand(batch, 1, queries, before + queries, generator=generator) < 0.5)
        mask[..., before:] |= torch.eye(queries, dtype=torch.bool)

    def run(attention, compute):
        torch.manual_seed(0)
        shapes = [(key_heads * group, queries, 8), (key_heads, before + queries, 8), (key_heads, before + queries, 6)]
        states = [torch.randn(batch, *shape).to(dtype).to(compute).requires_grad_() for shape in shapes]
        out = attention(*states)
        out.float().square().sum().backward()
        return out.float(), *(one.grad.float() for one in states)

    ours = run(lambda q, k, v: causal_attention(q, k, v, mask if padded else None, 0.3), dtype)
    theirs = run(lambda q, k, v: pytorchs(q, k, v, mask), torch.float32)
    for one, two in zip(ours, theirs, strict=True):
        assert (one - two).norm() <= (0.06 if half else 1e-5) * two.norm() + 1e-6
