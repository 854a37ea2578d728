"""Log-probs under vLLM's sampling filters: top-k, top-p and min-p.

vLLM's log-probs are those of the distribution it samples from, which the filters truncate and renormalize. The trainer's have
to be of the same distribution: without them, top_p 0.9 alone looks like a sampler-trainer log-prob gap.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Filters:
    """TRL's fields of these names: `top_k` 0 or -1, `top_p` 1 and `min_p` None or 0 are off."""

    top_k: int
    top_p: float
    min_p: float | None

    def __bool__(self) -> bool:
        """Whether any is on."""
        return self.top_k > 0 or self.top_p < 1 or bool(self.min_p)

    def kept(self, logits: torch.Tensor) -> torch.Tensor:
        """Which tokens can be sampled, (rows, vocabulary); by vLLM's own functions, in its order: min-p, then top-k and top-p.

        Args:
            logits: (rows, vocabulary), divided by the temperature.
        """
        from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p

        logits = logits.detach().clone()
        if self.min_p:  # vllm/v1/sample/logits_processor/builtin.py, MinPLogitsProcessor.apply
            probs = logits.softmax(dim=-1)
            logits.masked_fill_(probs < probs.amax(dim=-1, keepdim=True) * self.min_p, -torch.inf)
        k = torch.full((len(logits),), min(self.top_k, logits.shape[1]), device=logits.device) if self.top_k > 0 else None
        p = torch.full((len(logits),), self.top_p, device=logits.device) if self.top_p < 1 else None
        return apply_top_k_top_p(logits, k, p) > -torch.inf


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
