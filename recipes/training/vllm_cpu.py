"""TRL's colocated vLLM, made to work on CPU and to follow the run's seed.

TRL 1.16 pushes weights with `model.load_weights`, one parameter at a time. On CPU vLLM repacks its linear weights after
loading, and the second load fails (`'Parameter' object has no attribute 'weight_loader'`). vLLM's own `reload_weights`
undoes the packing first. TRL also leaves the engine's dtype, seed and compilation to defaults that do not fit: float32
models are rolled out in bfloat16, every run has seed 0, and on CPU the compiler takes longer than a small run.
"""

import functools

from trl.generation import vllm_generation
from trl.trainer import grpo_trainer

from eval.machine import has_gpu


class ReloadingGeneration(vllm_generation.VLLMGeneration):
    """VLLMGeneration whose colocated weight push goes through vLLM's `reload_weights`."""

    def sync_weights(self) -> None:
        """Pushes the trainer's current weights into the engine."""
        if self.mode != "colocate":
            super().sync_weights()
            return
        runner = self.llm.llm_engine.model_executor.driver_worker.model_runner
        runner.reload_weights(weights_iterator=self._iter_named_params())
        self.llm.reset_prefix_cache()


def prepare_colocate(seed: int, dtype: str) -> None:
    """Gives TRL's colocated engine the run's seed and dtype, and on CPU a weight push that works.

    Args:
        seed: the run's seed; each rank adds its number.
        dtype: what the trainer computes in, so that sampler and trainer agree: float32, bfloat16 or float16.
    """
    from vllm import LLM

    @functools.wraps(LLM)
    def engine(**kwargs):
        kwargs["seed"] = seed * 1000 + kwargs["seed"]
        return LLM(**kwargs, dtype=dtype, enforce_eager=not has_gpu())

    vllm_generation.LLM = engine
    if not has_gpu():
        grpo_trainer.VLLMGeneration = ReloadingGeneration
