"""Importance-sampling correction of the vLLM-trainer log-prob mismatch, with the clipping modes of TRL."""

import math

import torch


def clipped_ratio(difference: torch.Tensor, mode: str, lowest: float | None, highest: float | None) -> torch.Tensor:
    """The clipped importance-sampling ratio, by TRL's `vllm_importance_sampling_mode`.

    Args:
        difference: (completions, tokens), trainer log-probs minus vLLM's, 0 where masked.
        mode: `token_` or `sequence_` (one ratio per token, or per completion) and `truncate` or `mask` (clamp, or set to 0).
        lowest: lower bound of the ratio, None for none.
        highest: upper bound of the ratio, None for none.

    Returns:
        (completions, tokens), or (completions, 1) for a sequence mode.
    """
    level, what = mode.split("_")
    ratio = (difference.sum(dim=1, keepdim=True) if level == "sequence" else difference).exp()
    lowest, highest = 0.0 if lowest is None else lowest, math.inf if highest is None else highest
    if what == "truncate":
        return ratio.clamp(lowest, highest)
    return ratio.masked_fill((ratio < lowest) | (ratio > highest), 0.0)


def clipped_tokens(ratio: torch.Tensor, mask: torch.Tensor, highest: float | None) -> torch.Tensor:
    """How many tokens of each completion were clipped or masked, (completions,).

    Args:
        ratio: (completions, tokens) or (completions, 1), after clipping: 0 where masked, `highest` where clamped.
        mask: (completions, tokens), 1 for the completion's own tokens.
        highest: the upper bound, None for none.
    """
    clipped = (ratio <= 0) | (ratio >= (math.inf if highest is None else highest))
    return (clipped.expand_as(mask) * mask).sum(dim=1)


def clipped_shares(clipped: torch.Tensor, lengths: torch.Tensor) -> dict[str, float]:
    """The share of clipped tokens in the longer and the shorter half of the completions; arguments are (completions,)."""
    longer = lengths > lengths.float().median()
    halves = {"longer": longer, "shorter": ~longer}
    return {
        f"clipped/{name}": (clipped[half].sum() / lengths[half].sum()).item()
        for name, half in halves.items()
        if lengths[half].any()
    }


def describe(logp_gap: torch.Tensor, ratios: torch.Tensor) -> dict[str, torch.Tensor]:
    """What TRL logs of the correction, under its names; the last part of each says how it is taken over tokens.

    Args:
        logp_gap: (tokens,), absolute difference of vLLM's and the trainer's log-probs.
        ratios: (tokens,), or (completions,) for a sequence mode.
    """
    return {
        f"sampling/{name}/{over}": getattr(values, over)() if values.numel() else values.new_zeros(())
        for name, values, kinds in (
            ("sampling_logp_difference", logp_gap, ("mean", "max")),
            ("importance_sampling_ratio", ratios, ("min", "mean", "max")),
        )
        for over in kinds
    }
