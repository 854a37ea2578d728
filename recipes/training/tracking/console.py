"""The console: a summary before the run, one line per log entry, the result at the end. log.jsonl has every metric."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tqdm.auto import tqdm
from transformers import PrinterCallback, ProgressCallback

from data_mix import card
from data_mix.mixture_folder import read_manifest
from eval.scoring.metrics import wilson_ci95
from recipes.training.tracking.log import read_heldout

Columns = tuple[tuple[str, str, str], ...]  # heading, key of the log entry, format

SFT = (
    ("loss", "loss", ".4f"),
    ("token accuracy", "mean_token_accuracy", ".3f"),
    ("tokens seen", "num_tokens", ",.0f"),
    ("learning rate", "learning_rate", ".1e"),
)
RL = (
    ("reward", "reward", ".3f"),
    ("accuracy", "accuracy", ".3f"),
    ("p_long", "p_long", ".3f"),
    ("length", "length/mean", ".1f"),
    ("zero-var", "frac_reward_zero_std", ".0%"),
    ("truncated", "truncated", ".0%"),
    ("generate", "generate_time", ".1f"),
    ("step time", "step_time", ".1f"),
)
STAR = (("kept", "kept", ".3f"), *RL[1:6], ("loss", "loss", ".4f"))
HEADER_EVERY = 25  # lines


class Table:
    """Prints rows of metrics under a header that is repeated now and then, in at most 100 characters per line."""

    def __init__(self, unit: str, columns: Columns) -> None:
        """`unit` names what the rows count: step or round."""
        self.unit, self.columns, self.printed = unit, columns, 0

    def write(self, number: int, total: int, metrics: Mapping[str, float], eta: str = "") -> None:
        """Prints a row, and a line with the held-out metrics if there are any."""
        count = f"{number}/{total}"
        if any(key in metrics for _, key, _ in self.columns):
            if self.printed % HEADER_EVERY == 0:
                tqdm.write(self._row(self.unit, [heading for heading, *_ in self.columns], "eta" if eta else ""))
            self.printed += 1
            cells = ["-" if metrics.get(key) is None else format(metrics[key], form) for _, key, form in self.columns]
            tqdm.write(self._row(count, cells, eta))
        if "heldout/greedy/accuracy" in metrics:
            tqdm.write(f"{count:>11}  held-out " + "; ".join(_describe(metrics, kind) for kind in ("greedy", "sampled")))
        sys.stdout.flush()

    def _row(self, first: str, cells: list[str], last: str) -> str:
        widths = [max(len(heading), 7) for heading, *_ in self.columns]
        return (
            f"{first:>11}" + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True)) + f"  {last:>8}"
        )


def _describe(metrics: Mapping[str, float], kind: str) -> str:
    accuracy, p_long, length = (metrics[f"heldout/{kind}/{name}"] for name in ("accuracy", "p_long", "length/median"))
    return f"{kind} {accuracy:.3f} p_long {p_long:.3f} length {length:g}"


class Console(ProgressCallback):
    """A progress bar with the remaining time (in a terminal only) and one line per log entry; replaces transformers' own."""

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        self.table = Table("step", columns)

    @classmethod
    def attach(cls, trainer, columns: Columns) -> None:
        """Adds it to a trainer, in place of transformers' console callbacks."""
        for callback in (ProgressCallback, PrinterCallback):
            trainer.remove_callback(callback)
        trainer.add_callback(cls(columns))

    def on_train_begin(self, args, state, control, **_) -> None:
        """Opens the progress bar."""
        self.began, self.first = time.monotonic(), state.global_step
        self.current_step = state.global_step
        if state.is_world_process_zero:
            hidden = args.disable_tqdm or None  # None: hidden unless in a terminal
            self.training_bar = tqdm(total=state.max_steps, initial=state.global_step, disable=hidden, dynamic_ncols=True)

    def on_log(self, args, state, control, logs=None, **_) -> None:
        """Prints the entry."""
        if state.is_world_process_zero and "train_runtime" not in logs:
            self.table.write(state.global_step, state.max_steps, logs, self._remaining(state))

    def _remaining(self, state) -> str:
        done = state.global_step - self.first
        if not done:
            return "?"
        seconds = (time.monotonic() - self.began) / done * (state.max_steps - state.global_step)
        return tqdm.format_interval(seconds)


def print_start(recipe, args, inputs, lines: Mapping[str, str]) -> None:
    """Prints what is about to run, on the main process.

    Args:
        recipe: the recipe's own config.
        args: TRL's config.
        inputs: what the preflight checks have read.
        lines: further lines, heading → text.
    """
    if args.process_index != 0:
        return
    environment, out = inputs.environment, Path(args.output_dir)
    device, size = "GPU" if environment.gpu else "CPU", inputs.memory.total() / 2**30
    shown = {
        "mixture": f"{recipe.mixture}: {card.describe(read_manifest(recipe.mixture))}",
        "model": f"{inputs.config.model_type}, {inputs.memory.parameters / 1e6:,.2f} M parameters",
        **lines,
        "processes": f"{environment.processes} on {device}, about {size:.2f} GiB each",
        "output": f"{out}",
        "follow": f"`python -m eval report {out.parent} --watch`, or `tensorboard --logdir {out.parent}`",
    }
    width = max(map(len, shown))
    print("\n".join(f"{heading:<{width}}  {text}" for heading, text in shown.items()), flush=True)


def rows_per_step(args, processes: int) -> int:
    """The number of rows, or completions, in an optimizer step."""
    return args.per_device_train_batch_size * args.gradient_accumulation_steps * processes


def eval_command(output_dir: str, mixture: str) -> str:
    """The command that evaluates the model of a run."""
    return f"python -m eval run --model {output_dir} --mixture {mixture} --out ..."


def describe_length(args) -> str:
    """How long a run is: steps if `max_steps` is set, else epochs."""
    return f"{args.max_steps} steps" if args.max_steps > 0 else f"{args.num_train_epochs:g} epochs"


def print_end(output_dir: str, problems: int, following: str) -> None:
    """Prints held-out accuracy and length before and after training, and the command that follows."""
    entries = read_heldout(output_dir)
    for kind in ("greedy", "sampled") if len(entries) > 1 else ():
        accuracy = " -> ".join(
            _with_interval(entry[f"heldout/{kind}/accuracy"], problems) for entry in (entries[0], entries[-1])
        )
        length = " -> ".join(f"{entry[f'heldout/{kind}/length/median']:g}" for entry in (entries[0], entries[-1]))
        print(f"held-out {kind:<7}  accuracy {accuracy}, median length {length}")
    print(f"{output_dir}: saved; next `{following}`", flush=True)


def _with_interval(accuracy: float, problems: int) -> str:
    low, high = wilson_ci95(accuracy, problems)
    return f"{accuracy:.3f} [{low:.3f}, {high:.3f}]"
