"""vLLM's sampler on CPU, with one random number a completion's token instead of one for every word of the vocabulary.

vLLM draws by the exponential race: as many exponentials as the vocabulary has words, for every token of every request, and
for requests with seeds of their own twice. With 49,152 words that is a fifth of the rollout's time on CPU, half of it with
seeds. Inverting the cumulative distribution draws from the same distribution with one uniform number.
"""

import torch


def draw(logits: torch.Tensor, generators: dict[int, torch.Generator]) -> torch.Tensor:
    """Draws one token a row from softmax(logits), by inversion.

    Args:
        logits: (rows, vocabulary), float32; -inf excludes a token.
        generators: row → its own generator; the other rows share torch's default one.

    Returns:
        (rows,) token ids, int64.
    """
    # torch accumulates a float32 cumsum in float64 on CPU, so improbable tokens do not vanish in the rounding.
    cumulative = logits.softmax(dim=-1).cumsum(dim=-1)
    uniform = torch.rand(len(logits), 1)
    for row, generator in generators.items():
        uniform[row] = torch.rand(1, generator=generator)
    total = cumulative[:, -1:]
    below_total = torch.nextafter(total, torch.zeros_like(total))  # where the product rounds up to the total
    # The first sum above it, strictly: a token of probability zero adds nothing and is never that.
    return torch.searchsorted(cumulative, torch.minimum(uniform * total, below_total), right=True).squeeze(1)


def install() -> None:
    """Has every vLLM engine started from now on in this process sample with `draw`; for CPU only."""
    from vllm.v1.sample.ops.topk_topp_sampler import TopKTopPSampler, apply_top_k_top_p

    def forward(self, logits, generators, k, p):
        logits = apply_top_k_top_p(logits, k, p)
        shown = None
        if self.logprobs_mode == "processed_logits":
            shown = logits
        elif self.logprobs_mode == "processed_logprobs":
            shown = logits = logits.log_softmax(dim=-1)
        return draw(logits, generators), shown

    TopKTopPSampler.forward_cpu = forward
