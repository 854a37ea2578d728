"""Completions as TRL makes them: from the engine in each process, or from one server that gets its weights through NCCL."""

from collections.abc import Sequence

import torch
from trl.generation.vllm_generation import VLLMGeneration

from eval.generation.server import Sample
from recipes.training.generation.generators import pad_to_longest
from recipes.training.generation.source import Source


class EngineSource(Source):
    """TRL's own backends. With NCCL, a server samples without seeds."""

    def push(self, step: int) -> None:
        """TRL's push, on CPU vLLM's reload."""
        VLLMGeneration.sync_weights(self)

    def complete(self, prompts: Sequence[list[int]], numbers: Sequence[int], settings: dict, purpose: int) -> list[Sample]:
        """See Source."""
        first = self.first_seed(purpose)
        numbered = pad_to_longest(list(zip(prompts, numbers, strict=True)), self.accelerator)
        settings = {name: value for name, value in settings.items() if hasattr(self, name)}
        before = {name: getattr(self, name) for name in settings}
        vars(self).update(settings)
        if self.mode == "colocate":
            self.llm.seeds = self._of_group([first + number for _, number in numbered])
        try:
            _, ids, logps, _ = self.generate([prompt for prompt, _ in numbered], images=None, num_generations=1)
        finally:
            vars(self).update(before)
            if self.mode == "colocate":
                self.llm.seeds = None
        return [Sample(one, [logp for logp, *_ in rest]) for one, rest in zip(ids, logps, strict=True)][: len(prompts)]

    def _of_group(self, values: list[int]) -> list[int]:
        """The values of all processes that share an engine; TRL gathers their prompts in the same order."""
        if self.tensor_parallel_size == 1:
            return values
        gathered: list = [None] * self.tensor_parallel_size
        torch.distributed.all_gather_object(gathered, values, group=self.tp_group)
        return [value for part in gathered for value in part]
