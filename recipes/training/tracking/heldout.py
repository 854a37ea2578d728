"""Held-out evaluation during training: accuracy and length, greedy and sampled."""

from collections.abc import Sequence

from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import TrainerCallback

from eval.generation.tokens import Completion, encode_prompts
from recipes.training.rollouts import GenerateFn
from rewards.accounting import account
from rewards.scorer import Item, Verdict, score


def shard(rows: list) -> list:
    """This process's share of the rows."""
    process = PartialState()
    return rows[process.process_index :: process.num_processes]


def judge(completions: Sequence[Completion], rows: Sequence[dict]) -> list[Verdict]:
    """The verdict on each completion of its row's problem."""
    return score([Item(c.text, r["answer"], r["meta"], c.truncated) for c, r in zip(completions, rows, strict=True)])


class HeldoutEval:
    """Held-out problems, of which each process has its share, and what the weights in training score on them."""

    def __init__(self, rows: list[dict], tokenizer, generate: GenerateFn) -> None:
        """`rows` are mixture rows with parsed meta."""
        self.rows = shard(rows)
        self.prompt_ids = encode_prompts(tokenizer, [row["prompt"] for row in self.rows])
        self.generate = generate

    def measure(self) -> dict[str, float]:
        """`heldout/greedy/accuracy`, `heldout/sampled/p_long` and the like, over all processes' rows."""
        figures = {}
        for name, temperature in (("greedy", 0.0), ("sampled", 1.0)):
            completions = self.generate(self.prompt_ids, temperature)
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
