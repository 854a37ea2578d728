"""Attention under a mask on CPU: in bfloat16, faster than PyTorch's (figures: tests/bench/README.md)."""

import torch


class _Attention(torch.autograd.Function):
    """As a few large products of matrices. Weights are computed again in the backward pass, so that no layer keeps them."""

    @staticmethod
    def forward(ctx, query, key, value, mask, scaling: float) -> torch.Tensor:
        """Queries are (batch, key heads, queries of a head x its query heads, head size); for the rest see masked_attention."""
        ctx.save_for_backward(query, key, value, mask)
        ctx.scaling = scaling
        return _weights(query, key, mask, scaling) @ value

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple:
        query, key, value, mask = ctx.saved_tensors
        weights = _weights(query, key, mask, ctx.scaling)
        of_weights = gradient @ value.transpose(-1, -2)
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype).mul_(ctx.scaling)
        return of_scores @ key, of_scores.transpose(-1, -2) @ query, weights.transpose(-1, -2) @ gradient, None, None


def _weights(query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor, scaling: float) -> torch.Tensor:
    scores = (query * scaling) @ key.transpose(-1, -2)
    hidden = torch.zeros_like(mask, dtype=scores.dtype).masked_fill_(~mask, -torch.inf)
    scores.view(*scores.shape[:2], -1, *mask.shape[2:]).add_(hidden.unsqueeze(1))  # faster than to fill them
    return scores.softmax(-1)


def masked_attention(query, key, value, mask: torch.Tensor, scaling: float) -> torch.Tensor:
    """Softmax attention.

    Args:
        query: (batch, query heads, queries, head size).
        key: (batch, key heads, keys, head size), each head for as many neighbouring query heads; value alike.
        mask: (batch, 1, queries, keys), true where a query sees a key: each at least one.
        scaling: of the scores.

    Returns:
        The shape of `query`.
    """
    if torch.is_autocast_enabled("cpu"):  # as for PyTorch's own attention
        query, key, value = (states.to(torch.get_autocast_dtype("cpu")) for states in (query, key, value))
    grouped = query.reshape(*key.shape[:2], -1, query.shape[-1])
    with torch.autocast("cpu", enabled=False):
        return _Attention.apply(grouped, key, value, mask, scaling).view(query.shape)
