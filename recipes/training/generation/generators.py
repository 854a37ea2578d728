"""Completions from the current weights of a trainer, through its own model (transformers) or its `Source` (vLLM)."""

from collections.abc import Callable, Sequence

import torch
from trl.distributed import DistributedBackend

from eval.generation.engines import BATCH, NEUTRAL, Sampling, first_seed
from eval.generation.server import Sample
from eval.generation.tokens import Completion, decode, end_ids

HELD_OUT, ROLLOUTS = 0, 1  # what completions are for; never with the same seeds
# (prompt ids, temperature) -> one completion per prompt, from the current weights
GenerateFn = Callable[[list[list[int]], float], list[Completion]]


def heldout_batch(per_device_train_batch_size: int) -> int:
    """Completions at a time during SFT: a multiple of what training has memory for, since only the KV cache is kept."""
    return min(BATCH, 4 * per_device_train_batch_size)


class ModelGenerator:
    """A GenerateFn through transformers, for SFT. With any number of processes, a prompt has the same completion."""

    def __init__(self, trainer, tokenizer, max_tokens: int) -> None:
        self.trainer, self.tokenizer, self.max_tokens = trainer, tokenizer, max_tokens

    def __call__(self, prompt_ids: list[list[int]], temperature: float) -> list[Completion]:
        """One completion per prompt."""
        trainer, accelerator, ends = self.trainer, self.trainer.accelerator, end_ids(self.tokenizer)
        settings = Sampling(1, temperature, self.max_tokens, frozenset(ends)).settings
        seeds = [first_seed(trainer.args.seed, number, n=1) for number in numbers_of(prompt_ids, accelerator)]
        checkpointing = trainer.args.gradient_checkpointing_kwargs
        through = (trainer.model_wrapped, accelerator, checkpointing, self.tokenizer)
        batch = heldout_batch(trainer.args.per_device_train_batch_size)
        samples = complete_with(*through, prompt_ids, seeds, settings, batch)
        return [decode(self.tokenizer, sample.ids, ends) for sample in samples]


def complete_with(
    wrapped,
    accelerator,
    checkpointing: dict | None,
    tokenizer,
    prompts: Sequence[list[int]],
    seeds: Sequence[int],
    settings: dict,
    batch_size: int,
) -> list[Sample]:
    """One completion of each prompt of this process, through transformers; called in every process.

    Args:
        wrapped: the model as the trainer has prepared it: with DDP, sharded, or neither.
        accelerator: the trainer's.
        checkpointing: the trainer's gradient_checkpointing_kwargs.
        tokenizer: the model's.
        prompts: token ids of each.
        seeds: of each completion.
        settings: as for `sampler.complete`.
        batch_size: completions at a time.
    """
    from trl.models import unwrap_model_for_generation

    from eval.generation.sampler import complete

    backend = DistributedBackend(accelerator)
    padded, padded_seeds = zip(*pad_to_longest(list(zip(prompts, seeds, strict=True)), accelerator), strict=True)
    unwrapped = unwrap_model_for_generation(wrapped, accelerator, gradient_checkpointing_kwargs=checkpointing)
    with unwrapped as model, accelerator.autocast():
        was_training = model.training
        model.eval()
        synced = backend.is_zero3 or backend.is_fsdp
        samples = dict(complete(model, tokenizer, padded, padded_seeds, settings, batch_size, synced))
        model.train(was_training)
    return [samples[i] for i in range(len(prompts))]


class SourceGenerator:
    """A GenerateFn through a run's `Source`. `sync` pushes the current weights to it if they are new.

    With any number of processes a prompt has the same number, and completion.
    The rollouts' temperature, filters and repetition penalty do not apply.
    """

    def __init__(self, source, tokenizer, sync: Callable[[], None], purpose: int = HELD_OUT) -> None:
        self.source, self.tokenizer, self.sync, self.purpose = source, tokenizer, sync, purpose

    def __call__(self, prompt_ids: list[list[int]], temperature: float) -> list[Completion]:
        """One completion per prompt."""
        self.sync()
        numbers = numbers_of(prompt_ids, self.source.accelerator)
        samples = self.source.complete(prompt_ids, numbers, NEUTRAL | {"temperature": temperature}, self.purpose)
        ends = end_ids(self.tokenizer)  # outside the loop: it scans the vocabulary
        return [decode(self.tokenizer, sample.ids, ends) for sample in samples]


def numbers_of(prompts: Sequence, accelerator) -> range:
    """The numbers of this process's prompts among those of all, which are sharded as in `heldout.shard`."""
    count = accelerator.num_processes
    return range(accelerator.process_index, accelerator.process_index + len(prompts) * count, count)


def pad_to_longest(prompts: list, accelerator) -> list:
    """The prompts, and the first again until every process has equally many: some ways to generate are collective.

    All processes gather sharded weights together, and TRL merges their prompts for a server or a tensor-parallel engine, and
    cuts the completions into equal parts.
    """
    most = int(accelerator.gather(torch.tensor([len(prompts)], device=accelerator.device)).max())
    return [*prompts, *prompts[:1] * (most - len(prompts))]
