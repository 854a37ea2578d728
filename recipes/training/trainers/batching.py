"""Regroups the rows of one optimizer step into micro-batches of similar length and drops all-padding columns.

How rows are grouped does not change a step whose loss is a sum over all its rows or tokens, divided by something that does not
depend on the grouping. It does change the amount of padding: a third of the tokens for parity mixtures at p_cot 0.25, d = 50.
(Grouping rows of *different* steps by length is another matter: see `check_batching` in preflight/fields.py.)
"""

import torch
from torch.nn.functional import pad

Batch = dict[str, torch.Tensor | None]
PART_TOKENS = 1024  # on CPU, SFT runs a micro-batch in parts of this size
FILL = {"labels": -100}  # fill values of padding; 0 for the other tensors, whose padding is never read


def rebatch_by_length(batches: list[Batch], masks: dict[str, tuple[str, ...]], groups: str | None = None) -> list[Batch]:
    """The same rows in micro-batches of the same number and sizes, sorted by decreasing length.

    Args:
        batches: tensors of shape (rows, columns) or (rows,), or scalars and None for a value of the step.
        masks: name of each mask, (rows, columns), 1 for tokens and 0 for padding → the other tensors with its columns.
        groups: name of a tensor; rows that are equal in it stay together, and groups are sorted by their longest row.
    """
    sizes = [len(next(iter(batch.values()))) for batch in batches]
    step = {name: _concatenate([batch[name] for batch in batches], FILL.get(name, 0)) for name in batches[0]}
    lengths = sum(step[mask].sum(dim=1) for mask in masks)
    order = lengths.argsort(descending=True, stable=True)
    if groups:
        group = step[groups].unique(dim=0, return_inverse=True)[1]
        longest = torch.zeros_like(lengths).scatter_reduce(0, group, lengths, "amax")
        for key in (group, -longest[group]):
            order = order[key[order].argsort(stable=True)]
    return [_trim({name: _select(value, rows) for name, value in step.items()}, masks) for rows in order.split(sizes)]


def split_by_tokens(batch: Batch, masks: dict[str, tuple[str, ...]], most: int, padded: bool) -> list[Batch]:
    """Consecutive rows of a micro-batch in parts of at most `most` tokens, or of a single row.

    Args:
        batch: as in `rebatch_by_length`.
        masks: the same.
        most: tokens of a part.
        padded: whether padding counts.
    """
    lengths = sum(batch[mask].sum(dim=1) for mask in masks)
    sizes, total, width = [0], 0, 0
    for length in lengths.tolist():
        total, width = total + length, max(width, length)
        if sizes[-1] and ((sizes[-1] + 1) * width if padded else total) > most:
            sizes.append(0)
            total = width = length
        sizes[-1] += 1
    rows = torch.arange(len(lengths), device=lengths.device).split(sizes)
    return [_trim({name: _select(value, part) for name, value in batch.items()}, masks) for part in rows]


def _concatenate(tensors: list[torch.Tensor | None], fill: int) -> torch.Tensor | None:
    first = tensors[0]
    if first is None or first.ndim == 0:
        return first
    if first.ndim == 1:
        return torch.cat(tensors)
    width = max(tensor.shape[1] for tensor in tensors)
    return torch.cat([pad(tensor, (0, width - tensor.shape[1]), value=fill) for tensor in tensors])


def _select(value: torch.Tensor | None, rows: torch.Tensor) -> torch.Tensor | None:
    return value if value is None or value.ndim == 0 else value[rows]


def _trim(batch: Batch, masks: dict[str, tuple[str, ...]]) -> Batch:
    trimmed = dict(batch)
    for mask, others in masks.items():
        used = batch[mask].any(dim=0)
        used[0] |= not used.any()  # the model takes no sequence of length 0
        for name in (mask, *others):
            if batch.get(name) is not None:
                trimmed[name] = batch[name][:, used]
    return trimmed
