"""Asynchronous rollouts (`async_steps: 1`): while a step trains, servers generate the completions of the next one.

They come from the weights before the step that trains meanwhile, so they are one step old. The importance-sampling correction
compares their log-probs with those of the current weights, and so covers their age.

How others do it: prime-rl lets its trainer run up to `max_off_policy_steps` behind; verl's one-step-off-policy recipe and this
one overlap exactly one step; TRL's experimental async_grpo has a queue, and drops completions that are too old. One step hides
generation or training, whichever is shorter, and no more than that can be hidden. And it keeps the order of the problems: each
is used once, and a run that is killed resumes with the step that it was at.
"""

import itertools
from collections.abc import Iterator

from eval.generation.tokens import encode_prompts


class GeneratesAhead:
    """Mixin for TRL's GRPOTrainer, whose `vllm_generation` is a `ServedSource`."""

    def __init__(self, *args, async_steps: int = 0, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.async_steps = async_steps
        self._batches: Iterator[list[int]] | None = None  # indices of the rows of this process, generation by generation
        self._expected: list[int] | None = None  # those of the next generation

    def _generate_and_score_completions(self, inputs: list[dict]) -> dict:
        """As in TRL; asks for the next completions as soon as those of `inputs` are there."""
        if not (self.async_steps and self.model.training):
            return super()._generate_and_score_completions(inputs)
        rows = self._next_rows(inputs)
        prompts = [row["prompt"] for row in rows]
        self.vllm_generation.plan(encode_prompts(self.processing_class, prompts) if rows else [])
        batch = super()._generate_and_score_completions(inputs)
        self._weights_step = self.vllm_generation.completions_step
        return batch

    def _next_rows(self, current: list[dict]) -> list[dict]:
        """The rows of this process for the generation after that of `current`; none after the last one."""
        ids = [row["problem_id"] for row in current]
        if self._batches is None:
            self._batches = self._generation_batches()
            self._expected = next(batch for batch in self._batches if self._ids(batch) == ids)  # a resumed run is in the middle
        if self._ids(self._expected) != ids:
            raise RuntimeError("the trainer's rows are not those that were generated ahead")
        self._expected = next(self._batches)
        every = self.args.steps_per_generation * self.num_iterations
        done = self.state.global_step * self.args.gradient_accumulation_steps
        done += self._step % self.args.gradient_accumulation_steps
        is_last = done + every >= self.state.max_steps * self.args.gradient_accumulation_steps
        return [] if is_last else [self.train_dataset[i] for i in self._expected]

    def _ids(self, batch: list[int]) -> list[str]:
        return self.train_dataset[batch]["problem_id"]

    def _generation_batches(self) -> Iterator[list[int]]:
        """As TRL's dataloader and accelerate share the rows, from this epoch on."""
        size, repeats = self.args.generation_batch_size, self.args.steps_per_generation * self.num_iterations
        mine = size // self.accelerator.num_processes
        first = self.accelerator.process_index * mine
        sampler = self._get_train_sampler()
        while True:
            indices = iter(sampler)
            while batch := list(itertools.islice(indices, size * repeats)):
                yield batch[first : first + mine]
