"""The sampler that replaces vLLM's on CPU draws from softmax(logits)."""

import pytest
import torch

from eval.patches.vllm import draw


def test_draws_follow_the_softmax():
    torch.manual_seed(0)
    logits = torch.tensor([1.0, 0.0, -1.0, 2.0, -3.0])
    tokens = draw(logits.repeat(100_000, 1), {})
    shares = torch.bincount(tokens, minlength=5) / len(tokens)
    assert torch.allclose(shares, logits.softmax(0), atol=4 * 0.5 / 100_000**0.5)  # four standard errors


def test_improbable_tokens_of_a_large_vocabulary_keep_their_probability():
    """49,151 tokens of 4e-6 each and one of 0.8: a float32 sum would lose probability to rounding."""
    torch.manual_seed(0)
    logits = torch.zeros(49_152)
    logits[0] = torch.log(torch.tensor(4.0 * 49_151))
    tokens = torch.cat([draw(logits.repeat(50, 1), {}) for _ in range(400)])
    assert (tokens != 0).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert tokens[tokens != 0].float().mean().item() == pytest.approx(49_152 / 2, rel=0.03)


def test_an_excluded_token_is_never_drawn():
    torch.manual_seed(0)
    inf = float("inf")
    assert set(draw(torch.tensor([[-inf, 0.0, -inf, 0.0, -inf]]).repeat(10_000, 1), {}).tolist()) == {1, 3}


def test_a_row_with_its_own_generator_does_not_depend_on_the_batch():
    logits = torch.randn(8, 100, generator=torch.Generator().manual_seed(0))

    def token_of_row_5(rows):
        return draw(logits[rows], {rows.index(5): torch.Generator().manual_seed(7)})[rows.index(5)]

    assert token_of_row_5([5]) == token_of_row_5([0, 1, 5, 7]) == token_of_row_5(list(range(8)))
