"""Completions from the current weights of a trainer, through its own model (transformers) or its `Source` (vLLM)."""

from collections.abc import Callable

import torch

from eval.generation.engines import Sampling, TransformersEngine, in_order
from eval.generation.server_engine import NEUTRAL
from eval.generation.tokens import Completion, decode, end_ids

HELD_OUT, ROLLOUTS = 0, 1  # what completions are for; never with the same seeds
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


class SourceGenerator:
    """A GenerateFn through a run's `Source`. `sync` pushes the current weights to it if they are new.

    Prompts are sharded as in `heldout.shard`, so with any number of processes a prompt has the same number, and completion.
    The rollouts' temperature, filters and repetition penalty do not apply.
    """

    def __init__(self, source, tokenizer, sync: Callable[[], None], purpose: int = HELD_OUT) -> None:
        self.source, self.tokenizer, self.sync, self.purpose = source, tokenizer, sync, purpose

    def __call__(self, prompt_ids: list[list[int]], temperature: float) -> list[Completion]:
        """One completion per prompt."""
        self.sync()
        process = self.source.accelerator
        numbers = [i * process.num_processes + process.process_index for i in range(len(prompt_ids))]
        samples = self.source.complete(prompt_ids, numbers, NEUTRAL | {"temperature": temperature}, self.purpose)
        ends = end_ids(self.tokenizer)  # outside the loop: it scans the vocabulary
        return [decode(self.tokenizer, sample.ids, ends) for sample in samples]


def pad_to_longest(prompts: list, accelerator) -> list:
    """The prompts, and the first again until every process has equally many: some ways to generate are collective.

    All processes gather sharded weights together, and TRL merges their prompts for a server or a tensor-parallel engine, and
    cuts the completions into equal parts.
    """
    most = int(accelerator.gather(torch.tensor([len(prompts)], device=accelerator.device)).max())
    return [*prompts, *prompts[:1] * (most - len(prompts))]
