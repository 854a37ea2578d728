"""What every recipe writes down while it trains: each logged step as a line of log.jsonl, and accuracy and length on a
held-out slice, greedy and sampled."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from accelerate.utils import gather_object
from transformers import TrainerCallback

from eval.generate import Completion, TransformersEngine, decode, encode_prompts
from recipes.training.models import end_ids
from rewards.accounting import account
from rewards.scorer import Item, score

# (prompt ids, temperature) -> one completion a prompt, from the weights as they are now
Sampler = Callable[[list[list[int]], float], list[Completion]]


class JsonlLog(TrainerCallback):
    """Appends every log entry to `log.jsonl` as one JSON object with its step and the seconds since the run began."""

    def __init__(self, output_dir: str) -> None:
        self.path = Path(output_dir) / "log.jsonl"
        self.began = time.monotonic()

    def on_log(self, args, state, control, logs=None, **_) -> None:
        """Called by the trainer with each log entry."""
        if state.is_world_process_zero:
            entry = {"step": state.global_step, "seconds": round(time.monotonic() - self.began, 3), **logs}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")


class HeldOut(TrainerCallback):
    """Tracks held-out problems every N steps: `heldout/greedy/accuracy`, `heldout/sampled/p_long` and the like."""

    def __init__(self, trainer, sampler: Sampler, rows: list[dict], every: int) -> None:
        """`rows` are mixture rows with parsed meta; each process takes its share of them. `every` 0: before and after only."""
        self.trainer, self.sampler, self.every = trainer, sampler, every
        self.rows = rows[trainer.accelerator.process_index :: trainer.accelerator.num_processes]
        self.prompt_ids = encode_prompts(trainer.processing_class, [row["prompt"] for row in self.rows])

    def on_train_begin(self, args, state, control, **_) -> None:
        """The figures before the first step (a resumed run has them already)."""
        if state.global_step == 0:
            self.trainer.log(self.measure())

    def on_step_end(self, args, state, control, **_) -> None:
        """The figures after every N-th step and the last; they join the trainer's own log entry of that step."""
        last = state.global_step == state.max_steps
        if last or (self.every and state.global_step % self.every == 0):
            for name, value in self.measure().items():
                self.trainer._metrics["train"][name].append(value)
            control.should_log = True

    def measure(self) -> dict[str, float]:
        """Greedy and sampled figures over all processes' rows."""
        figures = {}
        for name, temperature in (("greedy", 0.0), ("sampled", 1.0)):
            completions = self.sampler(self.prompt_ids, temperature)
            pairs = zip(completions, self.rows, strict=True)
            verdicts = score([Item(c.text, r["answer"], r["meta"], c.truncated) for c, r in pairs])
            gathered = gather_object(list(zip(verdicts, completions, strict=True)))
            all_verdicts, all_completions = zip(*gathered, strict=True)
            lengths, truncated = zip(*((c.n_tokens, c.truncated) for c in all_completions), strict=True)
            for key, value in account(all_verdicts, lengths, truncated).items():
                figures[f"heldout/{name}/{key}"] = value
        return figures


class ModelSampler:
    """A Sampler on the trainer's own model, through transformers: for SFT, which has no vLLM engine."""

    def __init__(self, trainer, tokenizer, max_tokens: int) -> None:
        self.trainer, self.tokenizer, self.max_tokens = trainer, tokenizer, max_tokens

    def __call__(self, prompt_ids: list[list[int]], temperature: float) -> list[Completion]:
        """One completion a prompt."""
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        was_training = model.training
        model.eval()
        ends = end_ids(self.tokenizer)
        engine = TransformersEngine(model, self.tokenizer, self.trainer.args.seed)
        with self.trainer.compute_loss_context_manager():  # the precision that training runs in
            ids = engine.generate(prompt_ids, 1, temperature, self.max_tokens, ends)
        model.train(was_training)
        return [decode(self.tokenizer, samples[0], ends) for samples in ids]


class RolloutSampler:
    """A Sampler on GRPOTrainer's vLLM engine, colocated or served, with the trainer's current weights."""

    def __init__(self, trainer, tokenizer) -> None:
        self.trainer, self.tokenizer = trainer, tokenizer

    def __call__(self, prompt_ids: list[list[int]], temperature: float) -> list[Completion]:
        """One completion a prompt; the engine's own temperature is put back afterwards."""
        engine, step = self.trainer.vllm_generation, self.trainer.state.global_step
        if self.trainer._last_loaded_step != step:
            engine.sync_weights()
            self.trainer._last_loaded_step = step
        trained_at, engine.temperature = engine.temperature, temperature
        try:
            _, ids, _, _ = engine.generate(prompt_ids, images=None, num_generations=1)
        finally:
            engine.temperature = trained_at
        return [decode(self.tokenizer, sample, self.trainer.eos_token_ids) for sample in ids]
