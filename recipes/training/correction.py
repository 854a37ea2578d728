"""The correction for completions that vLLM sampled with other log-probs than the trainer has: importance sampling, limited."""

import math

import torch


def limited_ratio(difference: torch.Tensor, mode: str, lowest: float | None, highest: float | None) -> torch.Tensor:
    """The importance-sampling ratio of TRL's `vllm_importance_sampling_mode`, for what vLLM sampled with other log-probs.

    Args:
        difference: (completions, tokens), trainer's log-probs less vLLM's, 0 where masked.
        mode: token_ or sequence_, of each token or of the whole completion; truncate or mask, held down or dropped (0).
        lowest: limit of the ratio, None for none.
        highest: limit of the ratio, None for none.

    Returns:
        (completions, tokens), or (completions, 1) for a sequence mode.
    """
    level, what = mode.split("_")
    ratio = (difference.sum(dim=1, keepdim=True) if level == "sequence" else difference).exp()
    lowest, highest = 0.0 if lowest is None else lowest, math.inf if highest is None else highest
    if what == "truncate":
        return ratio.clamp(lowest, highest)
    return ratio.masked_fill((ratio < lowest) | (ratio > highest), 0.0)


def limited_tokens(ratio: torch.Tensor, mask: torch.Tensor, highest: float | None) -> torch.Tensor:
    """How many tokens of each completion the limits dropped or held down: (completions,).

    Args:
        ratio: (completions, tokens) or (completions, 1), after the limits: 0 where dropped, `highest` where held down.
        mask: (completions, tokens), 1 for the completion's own tokens.
        highest: the upper limit, None for none.
    """
    limited = (ratio <= 0) | (ratio >= (math.inf if highest is None else highest))
    return (limited.expand_as(mask) * mask).sum(dim=1)


def limited_shares(limited: torch.Tensor, lengths: torch.Tensor) -> dict[str, float]:
    """Share of tokens that were limited, for the longer and the shorter completions; both are (completions,)."""
    longer = lengths > lengths.float().median()
    halves = {"longer": longer, "shorter": ~longer}
    return {
        f"limited/{name}": (limited[half].sum() / lengths[half].sum()).item()
        for name, half in halves.items()
        if lengths[half].any()
    }


def describe(apart: torch.Tensor, ratios: torch.Tensor) -> dict[str, torch.Tensor]:
    """What TRL logs of the correction, under its names; the last part of each says how it is taken over tokens.

    Args:
        apart: (tokens,), how far the log-probs of vLLM and trainer are from each other.
        ratios: (tokens,), or (completions,) for a sequence mode.
    """
    return {
        f"sampling/{name}/{over}": getattr(values, over)() if values.numel() else values.new_zeros(())
        for name, values, kinds in (
            ("sampling_logp_difference", apart, ("mean", "max")),
            ("importance_sampling_ratio", ratios, ("min", "mean", "max")),
        )
        for over in kinds
    }
