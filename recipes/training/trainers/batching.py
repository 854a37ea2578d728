"""The micro-batches of one optimizer step, made anew: rows of like length together, and no column that is padding alone.

Which rows are computed together makes no difference to a step whose loss is a sum over all its rows or tokens, divided by
something that does not depend on the grouping. Padding it does depend on: of parity's mixtures at p_cot 0.25, d = 50, a
third of the tokens would be padding. (Grouping rows of *different* steps by length is another matter: see recipes/sft.py.)
"""

import torch
from torch.nn.functional import pad

Batch = dict[str, torch.Tensor | None]
FILL = {"labels": -100}  # of padding; elsewhere 0, which is a token in every vocabulary and never read


def by_length(batches: list[Batch], masks: dict[str, tuple[str, ...]]) -> list[Batch]:
    """The same rows in as many micro-batches of the same sizes, the longest first.

    Args:
        batches: tensors of (rows, columns) or (rows,), or one value for the whole step.
        masks: name of a mask, (rows, columns), 1 for what is not padding → the other tensors with its columns.
    """
    sizes = [len(next(iter(batch.values()))) for batch in batches]
    whole = {name: _joined([batch[name] for batch in batches], FILL.get(name, 0)) for name in batches[0]}
    lengths = sum(whole[mask].sum(dim=1) for mask in masks)
    order = lengths.argsort(descending=True, stable=True).split(sizes)
    return [_trimmed({name: _chosen(value, rows) for name, value in whole.items()}, masks) for rows in order]


def _joined(tensors: list[torch.Tensor | None], fill: int) -> torch.Tensor | None:
    """All rows, filled up to the widest with what trimming takes away again."""
    first = tensors[0]
    if first is None or first.ndim == 0:
        return first
    if first.ndim == 1:
        return torch.cat(tensors)
    width = max(tensor.shape[1] for tensor in tensors)
    return torch.cat([pad(tensor, (0, width - tensor.shape[1]), value=fill) for tensor in tensors])


def _chosen(value: torch.Tensor | None, rows: torch.Tensor) -> torch.Tensor | None:
    return value if value is None or value.ndim == 0 else value[rows]


def _trimmed(batch: Batch, masks: dict[str, tuple[str, ...]]) -> Batch:
    trimmed = dict(batch)
    for mask, others in masks.items():
        used = batch[mask].any(dim=0)
        for name in (mask, *others):
            if batch.get(name) is not None:
                trimmed[name] = batch[name][:, used]
    return trimmed
