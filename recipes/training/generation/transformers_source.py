"""Completions from the trainer's own model, through transformers (`use_vllm: false`): slower, but nothing has to be pushed."""

from collections.abc import Sequence
from contextlib import nullcontext

from eval.generation.server import Sample
from recipes.training.generation.generators import complete_with
from recipes.training.generation.source import Source


class TransformersSource(Source):
    """Completions through transformers, with the same seeds and sampling filters as vLLM's."""

    def __init__(self, *args, checkpointing: dict | None, **kwargs) -> None:
        """`checkpointing`: the trainer's gradient_checkpointing_kwargs."""
        self.checkpointing = checkpointing
        super().__init__(*args, **kwargs)

    def _init_vllm(self) -> None:
        """Nothing: there is no engine."""

    def push(self, step: int) -> None:
        """There is no engine to push to. Moves the model to the device, which in star.py no trainer has done before round 1."""
        if not (self._dist.is_zero3 or self._dist.is_fsdp):
            self.model.to(self.accelerator.device)

    def generate(self, prompts: list[list[int]], images: None, num_generations: int, profiler=None) -> tuple:
        """As in TRL; a prompt's repeats are `num_generations` entries of `prompts`, over all processes."""
        with profiler or nullcontext():
            return self.as_trl(prompts, self.complete(prompts, *self.describe(prompts)))

    def complete(self, prompts: Sequence[list[int]], numbers: Sequence[int], settings: dict, purpose: int) -> list[Sample]:
        """See Source."""
        first = self.first_seed(purpose)
        settings = settings | {"max_tokens": self.max_completion_length, **self.generation_kwargs}
        through = (self.wrapped_model(), self.accelerator, self.checkpointing, self.processing_class)
        return complete_with(*through, prompts, [first + number for number in numbers], settings, self.max_num_seqs)
