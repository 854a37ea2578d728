"""Log-probs under the sampling filters top-k, top-p and min-p.

The sampler's log-probs are those of the distribution it samples from, which the filters truncate and renormalize. The trainer's
have to be of the same distribution: without them, top_p 0.9 alone looks like a sampler-trainer log-prob gap.
"""

from dataclasses import dataclass

import torch

from eval.generation.sampler import make_filters

ROWS = 1024  # that are filtered at a time


@dataclass(frozen=True)
class Filters:
    """TRL's fields of these names: `top_k` 0 or -1, `top_p` 1 and `min_p` None or 0 are off."""

    top_k: int
    top_p: float
    min_p: float | None

    def __bool__(self) -> bool:
        """Whether any is on."""
        return bool(make_filters(self.top_k, self.top_p, self.min_p))

    def kept(self, logits: torch.Tensor) -> torch.Tensor:
        """Which tokens can be sampled, (rows, vocabulary).

        Args:
            logits: (rows, vocabulary), divided by the temperature.
        """
        apply = make_filters(self.top_k, self.top_p, self.min_p)
        # some rows at a time: top-p sorts a copy of them
        return torch.cat([apply(None, rows) > -torch.inf for rows in logits.detach().split(ROWS)])


def filtered_logps(logits: torch.Tensor, tokens: torch.Tensor, filters: Filters) -> tuple[torch.Tensor, torch.Tensor]:
    """The log-probs of sampled tokens, and the entropies, under the filtered distribution; both (rows,).

    A sampled token stays in the distribution even where rounding puts it just outside: the sampler has kept it.

    Args:
        logits: (rows, vocabulary), divided by the temperature.
        tokens: (rows,), the sampled ids.
        filters: at least one of them on.
    """
    logits = logits.float()
    kept = filters.kept(logits).scatter(1, tokens.unsqueeze(1), True)
    logps = logits.masked_fill(~kept, -torch.inf).log_softmax(dim=-1)
    entropies = -(logps.exp() * logps.masked_fill(~kept, 0.0)).sum(dim=-1)
    return logps.gather(1, tokens.unsqueeze(1)).squeeze(1), entropies
