"""What every recipe writes down while it trains: each logged step as a line of log.jsonl, and accuracy and length on a
held-out slice, greedy and sampled."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import TrainerCallback

from data_mix import files
from eval.generate import Completion, Sampling, TransformersEngine, decode, encode_prompts, in_order
from recipes.training.models import end_ids
from rewards.accounting import account
from rewards.scorer import Item, Verdict, score

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
            self.write(state.global_step, logs)

    def forget_after(self, step: int) -> None:
        """Drops entries of later steps, or all when `step` is 0: a run that is resumed there writes them again."""
        if self.path.is_file():
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
            files.write_text(self.path, "".join(f"{line}\n" for line in lines if step and _step_of(line) <= step))

    def write(self, step: int, figures: dict) -> None:
        """Appends one entry."""
        entry = {"step": step, "seconds": round(time.monotonic() - self.began, 3), **figures}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def _step_of(line: str) -> float:
    """The step of a line of log.jsonl, infinity for one that a kill or a crash has cut."""
    try:
        return json.loads(line)["step"]
    except (ValueError, LookupError, TypeError):
        return float("inf")


def shard(rows: list) -> list:
    """This process's share of the rows."""
    process = PartialState()
    return rows[process.process_index :: process.num_processes]


def judge(completions: Sequence[Completion], rows: Sequence[dict]) -> list[Verdict]:
    """The verdict on each completion of its row's problem."""
    return score([Item(c.text, r["answer"], r["meta"], c.truncated) for c, r in zip(completions, rows, strict=True)])


class HeldoutEval:
    """Held-out problems, of which each process has its share, and the figures of a sampler on them."""

    def __init__(self, rows: list[dict], tokenizer, sampler: Sampler) -> None:
        """`rows` are mixture rows with parsed meta."""
        self.rows = shard(rows)
        self.prompt_ids = encode_prompts(tokenizer, [row["prompt"] for row in self.rows])
        self.sampler = sampler

    def measure(self) -> dict[str, float]:
        """`heldout/greedy/accuracy`, `heldout/sampled/p_long` and the like, over all processes' rows."""
        figures = {}
        for name, temperature in (("greedy", 0.0), ("sampled", 1.0)):
            completions = self.sampler(self.prompt_ids, temperature)
            gathered = gather_object(list(zip(judge(completions, self.rows), completions, strict=True)))
            verdicts, all_completions = zip(*gathered, strict=True)
            lengths, truncated = zip(*((c.n_tokens, c.truncated) for c in all_completions), strict=True)
            for key, value in account(verdicts, lengths, truncated).items():
                figures[f"heldout/{name}/{key}"] = value
        return figures


class HeldOut(TrainerCallback):
    """Logs a slice's figures before training, after every N-th step and after the last."""

    def __init__(self, trainer, held_out: HeldoutEval, every: int) -> None:
        """`every` 0: before and after only."""
        self.trainer, self.held_out, self.every = trainer, held_out, every

    def on_train_begin(self, args, state, control, **_) -> None:
        """The figures before the first step (a resumed run has them already)."""
        if state.global_step == 0:
            self.trainer.log(self.held_out.measure())

    def on_step_end(self, args, state, control, **_) -> None:
        """The figures join the trainer's own log entry of that step."""
        last = state.global_step == state.max_steps
        if last or (self.every and state.global_step % self.every == 0):
            for name, value in self.held_out.measure().items():
                self.trainer._metrics["train"][name].append(value)
            control.should_log = True


class ModelSampler:
    """A Sampler on the trainer's own model, through transformers: for SFT, which has no vLLM engine."""

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


class RolloutSampler:
    """A Sampler on TRL's vLLM engine, colocated or served, with the weights that `sync` gives it."""

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
