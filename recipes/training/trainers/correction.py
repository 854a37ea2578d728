"""Importance-sampling correction of the vLLM-trainer log-prob mismatch, with TRL's clipping modes.

vLLM's log-probs of a completion differ slightly from the trainer's, so the loss is weighted by the ratio of the two. TRL gets
the trainer's log-probs from an extra forward pass. `CotmixGRPOTrainer._correct` (grpo.py) computes the same ratio from the
training pass, with the functions below.
"""

import math

import torch


def clipped_ratio(difference: torch.Tensor, mode: str, lowest: float | None, highest: float | None) -> torch.Tensor:
    """The clipped importance-sampling ratio, as TRL's `vllm_importance_sampling_mode` defines it.

    Args:
        difference: (completions, tokens), trainer log-probs minus vLLM's, 0 where masked.
        mode: `token_` or `sequence_` (one ratio per token or per completion), then `truncate` or `mask` (clamp or set to 0).
        lowest: lower bound of the ratio, or None.
        highest: upper bound of the ratio, or None.

    Returns:
        (completions, tokens), or (completions, 1) in a sequence mode.
    """
    level, action = mode.split("_")
    ratio = (difference.sum(dim=1, keepdim=True) if level == "sequence" else difference).exp()
    lowest, highest = 0.0 if lowest is None else lowest, math.inf if highest is None else highest
    if action == "truncate":
        return ratio.clamp(lowest, highest)
    return ratio.masked_fill((ratio < lowest) | (ratio > highest), 0.0)


def clipped_tokens(ratio: torch.Tensor, mask: torch.Tensor, highest: float | None) -> torch.Tensor:
    """The number of clipped or masked tokens in each completion, (completions,).

    Args:
        ratio: (completions, tokens) or (completions, 1), after clipping: 0 where masked, `highest` where clamped.
        mask: (completions, tokens), 1 for tokens and 0 for padding.
        highest: upper bound of the ratio, or None.
    """
    clipped = (ratio <= 0) | (ratio >= (math.inf if highest is None else highest))
    return (clipped.expand_as(mask) * mask).sum(dim=1)


def clipped_shares(clipped: torch.Tensor, lengths: torch.Tensor) -> dict[str, float]:
    """The share of clipped tokens in the longer and in the shorter half of the completions.

    Args:
        clipped: (completions,), number of clipped tokens.
        lengths: (completions,), in tokens.
    """
    longer = lengths > lengths.float().median()
    halves = {"longer": longer, "shorter": ~longer}
    return {
        f"clipped/{name}": (clipped[half].sum() / lengths[half].sum()).item()
        for name, half in halves.items()
        if lengths[half].any()
    }


def summarize(logp_gap: torch.Tensor, ratios: torch.Tensor) -> dict[str, torch.Tensor]:
    """TRL's metrics of the correction. The last part of a name is the reduction: min, mean or max.

    Args:
        logp_gap: (tokens,), absolute difference between vLLM's and the trainer's log-probs.
        ratios: (tokens,), or (completions,) in a sequence mode.
    """
    return {
        f"sampling/{name}/{reduction}": getattr(values, reduction)() if values.numel() else values.new_zeros(())
        for name, values, reductions in (
            ("sampling_logp_difference", logp_gap, ("mean", "max")),
            ("importance_sampling_ratio", ratios, ("min", "mean", "max")),
        )
        for reduction in reductions
    }
