"""Completions from the weights in training: from the trainer's own model, or from TRL's vLLM engine."""

from collections.abc import Callable

import torch

from eval.generation.engines import Sampling, TransformersEngine, in_order
from eval.generation.tokens import Completion, decode, end_ids

# (prompt ids, temperature) -> one completion a prompt, from the weights as they are now
GenerateFn = Callable[[list[list[int]], float], list[Completion]]


class ModelGenerator:
    """A GenerateFn on the trainer's own model, through transformers: for SFT, which has no vLLM engine."""

    def __init__(self, trainer, tokenizer, max_tokens: int) -> None:
        self.trainer, self.tokenizer, self.max_tokens = trainer, tokenizer, max_tokens

    def __call__(self, prompt_ids: list[list[int]], temperature: float) -> list[Completion]:
        """One completion a prompt."""
        from trl.models import unwrap_model_for_generation

        accelerator = self.trainer.accelerator
        ends = end_ids(self.tokenizer)
        sampling = Sampling(1, temperature, self.max_tokens, frozenset(ends))
        # Weights that are sharded are gathered by all processes together, so each asks as often as the others.
        most = int(accelerator.gather(torch.tensor([len(prompt_ids)], device=accelerator.device)).max())
        asked = [*prompt_ids, *prompt_ids[:1] * (most - len(prompt_ids))]
        with (
            unwrap_model_for_generation(self.trainer.model_wrapped, accelerator) as model,
            self.trainer.compute_loss_context_manager(),  # the precision that training runs in
        ):
            was_training = model.training
            model.eval()
            engine = TransformersEngine(model, self.tokenizer, self.trainer.args.seed, synced=accelerator.num_processes > 1)
            ids = in_order(engine.stream(asked, sampling))[: len(prompt_ids)]
            model.train(was_training)
        return [decode(self.tokenizer, samples[0], ends) for samples in ids]


class VLLMGenerator:
    """A GenerateFn on TRL's vLLM engine, colocated or served, with the weights that `sync` gives it."""

    def __init__(self, generation, tokenizer, sync: Callable[[], None]) -> None:
        self.generation, self.tokenizer, self.sync = generation, tokenizer, sync

    def __call__(self, prompt_ids: list[list[int]], temperature: float) -> list[Completion]:
        """One completion a prompt; the engine's own temperature is put back afterwards."""
        self.sync()
        trained_at, self.generation.temperature = self.generation.temperature, temperature
        try:
            _, ids, _, _ = self.generation.generate(prompt_ids, images=None, num_generations=1)
        finally:
            self.generation.temperature = trained_at
        ends = end_ids(self.tokenizer)  # once: it reads the whole vocabulary
        return [decode(self.tokenizer, sample, ends) for sample in ids]


def sync_once_a_step(trainer) -> None:
    """Gives GRPOTrainer's engine the trainer's weights unless it has had this step's already."""
    step = trainer.state.global_step
    if trainer._last_loaded_step != step:
        trainer.vllm_generation.sync_weights()
        trainer._last_loaded_step = step
