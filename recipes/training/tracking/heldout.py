"""Held-out evaluation during training: accuracy and length, greedy and sampled."""

from collections.abc import Sequence

from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import TrainerCallback

from eval.generation.tokens import Completion, encode_prompts
from recipes.training.generation.generators import GenerateFn
from recipes.training.patches.trl import add_metrics
from rewards.accounting import account
from rewards.scorer import Item, Verdict, score


def shard(rows: list) -> list:
    """The rows of this process."""
    process = PartialState()
    return rows[process.process_index :: process.num_processes]


def judge(completions: Sequence[Completion], rows: Sequence[dict]) -> list[Verdict]:
    """The verdict on each completion, given the row of its problem."""
    return score([Item(c.text, r["answer"], r["meta"], c.truncated) for c, r in zip(completions, rows, strict=True)])


class HeldoutEval:
    """Evaluates the current weights on held-out problems, sharded across processes."""

    def __init__(self, rows: list[dict], tokenizer, generate: GenerateFn) -> None:
        """`rows` are mixture rows with parsed meta; without any, nothing is measured."""
        self.problems = len(rows)
        self.rows = shard(rows)
        self.prompt_ids = encode_prompts(tokenizer, [row["prompt"] for row in self.rows]) if rows else []
        self.generate = generate

    def measure(self) -> dict[str, float]:
        """`heldout/greedy/accuracy`, `heldout/sampled/p_long` and so on, over the rows of all processes."""
        if not self.rows:
            return {}
        metrics = {}
        for name, temperature in (("greedy", 0.0), ("sampled", 1.0)):
            completions = self.generate(self.prompt_ids, temperature)
            gathered = gather_object(list(zip(judge(completions, self.rows), completions, strict=True)))
            verdicts, all_completions = zip(*gathered, strict=True)
            lengths, truncated = zip(*((c.n_tokens, c.truncated) for c in all_completions), strict=True)
            for key, value in account(verdicts, lengths, truncated).items():
                metrics[f"heldout/{name}/{key}"] = value
        return metrics


class HeldoutCallback(TrainerCallback):
    """Logs a HeldoutEval before training, every N steps and after the last step."""

    def __init__(self, trainer, heldout: HeldoutEval, every: int) -> None:
        """With `every` 0, only before and after training."""
        self.trainer, self.heldout, self.every = trainer, heldout, every

    def on_train_begin(self, args, state, control, **_) -> None:
        """Logs before the first step; a resumed run has done so already."""
        if state.global_step == 0 and self.heldout.problems:
            self.trainer.log(self.heldout.measure())

    def on_step_end(self, args, state, control, **_) -> None:
        """Adds the metrics to the trainer's log entry of that step."""
        last = state.global_step == state.max_steps
        if self.heldout.problems and (last or (self.every and state.global_step % self.every == 0)):
            add_metrics(self.trainer, self.heldout.measure())
            control.should_log = True
