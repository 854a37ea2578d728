"""Rebatching the rows of a step by length changes the micro-batches and nothing else."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recipes.training.trainers.batching import rebatch_by_length, split_by_tokens
from tests.conftest import read_log

sizes = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=4), min_size=1, max_size=4)


def collated(lengths: list[int], first: int):
    """A micro-batch as TRL's collator makes it: right-padded to its longest row."""
    shape = len(lengths), max(lengths)
    mask = torch.tensor([[int(column < length) for column in range(shape[1])] for length in lengths])
    ids = (torch.arange(first, first + mask.numel()).view(shape)) * mask
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100), "ends": ids.sum(dim=1)}


def rows_of(batches):
    """The rows without padding, each with its labels and `ends` value."""
    return sorted(
        (ids[mask.bool()].tolist(), labels[labels != -100].tolist(), end.item())
        for batch in batches
        for ids, mask, labels, end in zip(*(batch[k] for k in ("input_ids", "attention_mask", "labels", "ends")), strict=True)
    )


@given(sizes)
def test_rows_are_unchanged_and_padding_is_trimmed(lengths):
    batches = [collated(one, 1 + 100 * i) for i, one in enumerate(lengths)]
    found = rebatch_by_length(batches, {"attention_mask": ("input_ids", "labels")})
    assert rows_of(found) == rows_of(batches)
    assert [len(batch["ends"]) for batch in found] == [len(batch["ends"]) for batch in batches]
    widths = [batch["attention_mask"].sum(dim=1) for batch in found]
    assert torch.cat(widths).tolist() == sorted((n for one in lengths for n in one), reverse=True)
    assert all(
        batch["input_ids"].shape == batch["labels"].shape == (len(w), w.max()) for batch, w in zip(found, widths, strict=True)
    )


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 30), st.booleans())
def test_parts_have_all_rows_and_at_most_so_many_tokens(lengths, most, padded):
    batch = collated(lengths, 1)
    parts = split_by_tokens(batch, {"attention_mask": ("input_ids", "labels")}, most, padded)
    assert rows_of(parts) == rows_of([batch])
    assert [n for part in parts for n in part["attention_mask"].sum(dim=1).tolist()] == lengths
    sizes = [part["input_ids"].numel() if padded else part["attention_mask"].sum() for part in parts]
    assert all(size <= most or len(part["input_ids"]) == 1 for size, part in zip(sizes, parts, strict=True))


def test_left_padded_prompts_and_right_padded_completions_are_trimmed():
    batch = {
        "prompt_ids": torch.tensor([[0, 5, 6], [0, 0, 7]]),
        "prompt_mask": torch.tensor([[0, 1, 1], [0, 0, 1]]),
        "completion_ids": torch.tensor([[8, 0, 0], [9, 9, 0]]),
        "completion_mask": torch.tensor([[1, 0, 0], [1, 1, 0]]),
        "advantages": torch.tensor([1.0, 2.0]),
        "num_items_in_batch": torch.tensor(3),
        "ref_per_token_logps": None,
    }
    masks = {"prompt_mask": ("prompt_ids",), "completion_mask": ("completion_ids", "ref_per_token_logps")}
    (found,) = rebatch_by_length([batch], masks)
    assert found["prompt_ids"].tolist() == [[5, 6], [0, 7]]
    assert found["completion_ids"].tolist() == [[8, 0], [9, 9]]
    assert found["advantages"].tolist() == [1.0, 2.0] and found["num_items_in_batch"] == 3
    assert found["ref_per_token_logps"] is None


@given(sizes, st.integers(1, 4))
def test_groups_stay_together(lengths, groups):
    batches = [collated(one, 1 + 100 * i) for i, one in enumerate(lengths)]
    for batch in batches:
        batch["prompt"] = batch["ends"].unsqueeze(1) % groups
    found = rebatch_by_length(batches, {"attention_mask": ("input_ids", "labels")}, groups="prompt")
    assert rows_of(found) == rows_of(batches)
    order = torch.cat([batch["prompt"].flatten() for batch in found]).tolist()
    assert len([group for group, _ in itertools.groupby(order)]) == len(set(order))
    rows = torch.cat([batch["attention_mask"].sum(dim=1) for batch in found]).tolist()
    longest = [max(n for n, group in zip(rows, order, strict=True) if group == one) for one in dict.fromkeys(order)]
    assert longest == sorted(longest, reverse=True)


def test_sft_losses_do_not_depend_on_the_micro_batch_size(command, parity_run, tmp_path):
    """Short and long rows land in different micro-batches, with the same weight as in one batch."""
    run = ["recipes/sft.py", "--mixture", parity_run / "mixture", "--max_steps", 8, "--heldout_problems", 1]
    losses = []
    for rows, batches in ((24, 1), (4, 6)):
        size = ["--per_device_train_batch_size", rows, "--gradient_accumulation_steps", batches, "--logging_steps", 1]
        command(*run, *size, "--report_to", "none", "--output_dir", tmp_path / str(rows))
        losses.append([entry["loss"] for entry in read_log(tmp_path / str(rows)) if "loss" in entry])
    assert len(losses[0]) == 8 and losses[0] == pytest.approx(losses[1], abs=1e-5)
