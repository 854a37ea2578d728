"""Completions from the current weights of a trainer, through its own model (transformers) or TRL's vLLM engine."""

from collections.abc import Callable

import torch

from eval.generation.engines import Sampling, TransformersEngine, in_order
from eval.generation.server_engine import NEUTRAL
from eval.generation.tokens import Completion, decode, end_ids

# (prompt ids, temperature) -> one completion per prompt, from the current weights
GenerateFn = Callable[[list[list[int]], float], list[Completion]]


class ModelGenerator:
    """A GenerateFn through transformers, for SFT, which has no vLLM engine."""

    def __init__(self, trainer, tokenizer, max_tokens: int) -> None:
        self.trainer, self.tokenizer, self.max_tokens = trainer, tokenizer, max_tokens

    def __call__(self, prompt_ids: list[list[int]], temperature: float) -> list[Completion]:
        """One completion per prompt."""
        from trl.models import unwrap_model_for_generation

        accelerator = self.trainer.accelerator
        ends = end_ids(self.tokenizer)
        sampling = Sampling(1, temperature, self.max_tokens, frozenset(ends))
        with (
            unwrap_model_for_generation(self.trainer.model_wrapped, accelerator) as model,
            self.trainer.compute_loss_context_manager(),  # training's autocast
        ):
            was_training = model.training
            model.eval()
            engine = TransformersEngine(model, self.tokenizer, self.trainer.args.seed, synced=accelerator.num_processes > 1)
            ids = in_order(engine.stream(pad_to_longest(prompt_ids, accelerator), sampling))[: len(prompt_ids)]
            model.train(was_training)
        return [decode(self.tokenizer, samples[0], ends) for samples in ids]


class VLLMGenerator:
    """A GenerateFn through TRL's vLLM engine, colocated or with NCCL. `sync` pushes the current weights to the engine.

    The rollouts' temperature, filters and repetition penalty do not apply to it.
    """

    def __init__(self, generation, tokenizer, sync: Callable[[], None]) -> None:
        self.generation, self.tokenizer, self.sync = generation, tokenizer, sync

    def __call__(self, prompt_ids: list[list[int]], temperature: float) -> list[Completion]:
        """One completion per prompt."""
        self.sync()
        settings = {"temperature": temperature, "top_p": 1.0, "top_k": 0, "min_p": None, "repetition_penalty": 1.0}
        before = {name: getattr(self.generation, name) for name in settings}
        vars(self.generation).update(settings)
        try:
            padded = pad_to_longest(prompt_ids, self.generation.accelerator)
            _, ids, _, _ = self.generation.generate(padded, images=None, num_generations=1)
        finally:
            vars(self.generation).update(before)
        ends = end_ids(self.tokenizer)  # outside the loop: it scans the vocabulary
        return [decode(self.tokenizer, sample, ends) for sample in ids[: len(prompt_ids)]]


class ServedGenerator:
    """A GenerateFn through servers. `sync` pushes the current weights to them.

    Prompts are sharded as in `heldout.shard`, so with any number of processes a prompt has the same number, and completion.
    """

    def __init__(self, generation, tokenizer, sync: Callable[[], None]) -> None:
        self.generation, self.tokenizer, self.sync = generation, tokenizer, sync

    def __call__(self, prompt_ids: list[list[int]], temperature: float) -> list[Completion]:
        """One completion per prompt."""
        from recipes.training.served import HELD_OUT

        self.sync()
        process = self.generation.accelerator
        numbers = [i * process.num_processes + process.process_index for i in range(len(prompt_ids))]
        samples = self.generation.complete(prompt_ids, numbers, NEUTRAL | {"temperature": temperature}, HELD_OUT)
        ends = end_ids(self.tokenizer)
        return [decode(self.tokenizer, sample.ids, ends) for sample in samples]


def pad_to_longest(prompt_ids: list[list[int]], accelerator) -> list[list[int]]:
    """The prompts, and the first again until every process has equally many: some ways to generate are collective.

    All processes gather sharded weights together, and TRL merges their prompts for a server or a tensor-parallel engine, and
    cuts the completions into equal parts.
    """
    most = int(accelerator.gather(torch.tensor([len(prompt_ids)], device=accelerator.device)).max())
    return [*prompt_ids, *prompt_ids[:1] * (most - len(prompt_ids))]
