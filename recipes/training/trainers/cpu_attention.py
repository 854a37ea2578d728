"""Causal attention on CPU, for training in bfloat16: faster than PyTorch's there (figures: tests/bench/README.md)."""

from collections.abc import Iterator

import torch

QUERY_BLOCK = 64  # queries at a time: their weights fit into a core's cache


class _Attention(torch.autograd.Function):
    """As a few products of matrices for each block of queries. Weights are computed again in the backward pass."""

    @staticmethod
    def forward(ctx, query, key, value, mask, scaling: float) -> torch.Tensor:
        """Queries are (batch, key heads, query heads of each, queries, head size); for the rest see causal_attention."""
        ctx.save_for_backward(query, key, value, mask)
        ctx.scaling = scaling
        output = query.new_empty(*query.shape[:-1], value.shape[-1])
        for block, seen, visible in _blocks(query, key, mask):
            queries = query[:, :, :, block]
            weights = _weights(queries, key[:, :, :seen], visible, scaling)
            output[:, :, :, block] = (weights @ value[:, :, :seen]).unflatten(2, queries.shape[2:4])
        return output

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple:
        query, key, value, mask = ctx.saved_tensors
        grad_query = torch.empty_like(query)
        grad_key, grad_value = (torch.zeros_like(states, dtype=torch.float32) for states in (key, value))  # sums over blocks
        for block, seen, visible in _blocks(query, key, mask):
            queries, keys, values = query[:, :, :, block], key[:, :, :seen], value[:, :, :seen]
            grad_block = gradient[:, :, :, block].flatten(2, 3)
            weights = _weights(queries, keys, visible, ctx.scaling)
            grad_weights = grad_block @ values.transpose(-1, -2)
            grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype).mul_(ctx.scaling)
            grad_query[:, :, :, block] = (grad_scores @ keys).unflatten(2, queries.shape[2:4])
            grad_key[:, :, :seen] += grad_scores.transpose(-1, -2) @ queries.flatten(2, 3)
            grad_value[:, :, :seen] += weights.transpose(-1, -2) @ grad_block
        return grad_query, grad_key.to(key.dtype), grad_value.to(value.dtype), None, None


def _blocks(query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None) -> Iterator[tuple[slice, int, torch.Tensor]]:
    """Consecutive queries, how many keys they see at most, and which of them; without a mask, which of their own."""
    count, before = query.shape[3], key.shape[2] - query.shape[3]
    for start in range(0, count, QUERY_BLOCK):
        end = min(start + QUERY_BLOCK, count)
        block, seen = slice(start, end), before + end
        yield block, seen, causal_mask(end - start, end - start, query.device) if mask is None else mask[:, :, block, :seen]


def _weights(queries: torch.Tensor, keys: torch.Tensor, mask: torch.Tensor, scaling: float) -> torch.Tensor:
    """(batch, key heads, query heads of each x queries, keys); the mask is for the last keys, all others are visible."""
    scores = (queries.flatten(2, 3) * scaling) @ keys.transpose(-1, -2)
    bias = torch.zeros_like(mask, dtype=scores.dtype).masked_fill_(~mask, -torch.inf).unsqueeze(1)
    scores.unflatten(2, queries.shape[2:4])[..., -mask.shape[-1] :].add_(bias)  # faster than to fill them
    return scores.softmax(-1)


def causal_attention(query, key, value, mask: torch.Tensor | None, scaling: float) -> torch.Tensor:
    """Softmax attention of tokens to those before them and to themselves.

    Args:
        query: (batch, query heads, queries, head size).
        key: (batch, key heads, keys, head size), each head for as many neighbouring query heads. The last keys are those of
            the queries' own tokens.
        value: (batch, key heads, keys, value head size).
        mask: (batch or 1, 1, queries, keys), true where a query sees a key: at least one, none after its own. None: all others.
        scaling: of the scores.

    Returns:
        (batch, query heads, queries, value head size).
    """
    if torch.is_autocast_enabled("cpu"):  # as for PyTorch's own attention
        query, key, value = (states.to(torch.get_autocast_dtype("cpu")) for states in (query, key, value))
    grouped = query.unflatten(1, (key.shape[1], -1))
    with torch.autocast("cpu", enabled=False):
        return _Attention.apply(grouped, key, value, mask, scaling).flatten(1, 2)


def causal_mask(queries: int, keys: int, device: torch.device) -> torch.Tensor:
    """(1, 1, queries, keys), true for keys up to a query's own."""
    return torch.ones(1, 1, queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
