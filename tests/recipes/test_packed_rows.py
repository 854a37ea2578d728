"""Rows of SFT without padding: the loss and the gradient of the padded ones, in any model that takes them."""

import pytest
import torch

from recipes.training.trainers import packed_rows
from tests.recipes.test_shared_prompts import MODELS, make_model

LENGTHS = [40, 9, 7, 3, 1]  # attention is called for the first row, then for the others


@pytest.fixture
def batch():
    ids = torch.randint(1, 50, (len(LENGTHS), max(LENGTHS)), generator=torch.Generator().manual_seed(0))
    mask = packed_rows.token_mask(torch.tensor(LENGTHS)).long()
    labels = ids.masked_fill(mask == 0, -100)
    labels[1, :4] = -100  # a prompt
    return {"input_ids": ids * mask, "labels": labels, "attention_mask": mask}


def run(model, batch):
    """The sum of the log-probs, and the gradient."""
    model.zero_grad()
    total = model(**batch, fused_lm_head=True, use_cache=False).log_probs.sum()
    total.backward()
    return total.item(), torch.cat([p.grad.flatten() for p in model.parameters()])


def test_a_row_has_each_token_once_in_two_calls_of_attention(batch):
    row = packed_rows.without_padding(batch)
    assert row["input_ids"].shape == row["labels"].shape == row["position_ids"].shape == (1, sum(LENGTHS))
    assert [part.shape for part in row["spans"].parts] == [(1, 40), (4, 9)]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("model_type", MODELS)
def test_loss_and_gradient_are_those_of_padded_rows(batch, model_type, checkpointing):
    packed_rows.register()
    model = make_model(model_type)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    (ours, gradient), (theirs, expected) = run(model, packed_rows.without_padding(batch)), run(model, batch)
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert (gradient - expected).norm() <= 1e-5 * expected.norm()


def test_a_model_that_ignores_spans_gets_a_mask(batch):
    packed_rows.register()
    model = make_model("llama")
    row = packed_rows.without_padding(batch)
    with_spans = run(model, row)
    del row["spans"]
    without = run(model, row)
    assert with_spans[0] == pytest.approx(without[0], rel=1e-5)
    torch.testing.assert_close(with_spans[1], without[1], rtol=1e-4, atol=1e-5)
