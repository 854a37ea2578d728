"""Atomic checkpoints and graceful shutdown.

A `checkpoint-N` belongs to the run when one of two files is in it: `begun`, put there before the trainer writes, which is
renamed to `complete` once every process has written its part and all of it is on disk. A run resumes from complete ones.
One with neither file is the user's: it is never removed, and a run that might write into it does not start. Older ones are
removed by us, after the new one is complete: the trainer's own `save_total_limit` would remove them before.
"""

import shutil
import signal
from pathlib import Path

from accelerate.utils import reduce
from torch import tensor
from transformers import TrainerCallback

from data_mix import files
from data_mix.errors import InputError
from eval.model_folder import find_checkpoints

BEGUN, COMPLETE = "begun", "complete"
MODEL = ".model.part"  # the final model, until it is whole
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)  # of a batch system, some time before it kills


def is_complete(path: Path) -> bool:
    """Whether a run can be resumed from this checkpoint."""
    # star.py's had no marker once, but have always appeared whole, after the round's rollouts
    rollouts = path.parent / "rollouts" / f"round-{path.name.removeprefix('checkpoint-')}.parquet"
    return not path.is_symlink() and ((path / COMPLETE).is_file() or rollouts.is_file())


def find_complete(output_dir: str) -> dict[int, Path]:
    """Step or round → the `checkpoint-N` that a run can be resumed from, in order."""
    return {number: path for number, path in find_checkpoints(output_dir).items() if is_complete(path)}


def find_own(output_dir: str) -> dict[int, Path]:
    """Step or round → the `checkpoint-N` that the run itself has written, whole or not, in order."""
    return {number: path for number, path in find_checkpoints(output_dir).items() if _is_own(path)}


def _is_own(path: Path) -> bool:
    return not path.is_symlink() and ((path / BEGUN).is_file() or (path / COMPLETE).is_file())


def check(output_dir: str, save_only_model: bool) -> None:
    """Raises InputError when training would lose a checkpoint: one that is not the run's own, or that cannot be resumed."""
    own, complete = find_own(output_dir), find_complete(output_dir)
    if own and save_only_model:
        raise InputError(
            f"output_dir {output_dir} holds checkpoints of a run with save_only_model, which cannot be resumed; "
            "give another --output_dir, or remove it first"
        )
    for number, path in find_checkpoints(output_dir).items():
        if number > max(complete, default=0) and number not in own:
            raise InputError(
                f"output_dir {output_dir}: {path.name} has neither `{BEGUN}` nor `{COMPLETE}` in it, so it is not this run's, "
                "which might write over it; move it elsewhere, or remove it"
            )


def clear(output_dir: str, done: int) -> None:
    """Removes what a killed run left half written or half removed; `done` is the step or round it is resumed from."""
    for number, path in find_own(output_dir).items():
        if number > done:
            remove(path)
    for left in (*Path(output_dir).glob(".checkpoint-*.part"), Path(output_dir) / MODEL):
        shutil.rmtree(left, ignore_errors=True)


def prune(output_dir: str, limit: int | None) -> None:
    """Removes all but the last `limit` of the run's own checkpoints; without a limit, none."""
    for path in list(find_own(output_dir).values())[: -limit if limit else 0]:
        remove(path)


def remove(path: Path) -> None:
    """Removes a checkpoint. It loses its name first, so that a kill on the way leaves no half of one."""
    temporary = path.with_name(f".{path.name}.part")
    path.rename(temporary)
    shutil.rmtree(temporary)


class KeepComplete(TrainerCallback):
    """Marks each checkpoint of the trainer, and keeps the last `save_total_limit` of them.

    The last one stays `begun`, and removes none: the model itself follows it, and a trainer that was resumed from there would
    take one step too many. To be added last: it has to see whether others want a checkpoint.
    """

    def __init__(self, trainer) -> None:
        self.accelerator, self.limit = trainer.accelerator, trainer.args.save_total_limit
        trainer.args.save_total_limit = None

    def on_step_end(self, args, state, control, **_) -> None:
        """Called in every process before the trainer writes."""
        if not control.should_save:
            return
        if self.accelerator.is_main_process:
            folder = self._folder(args, state)
            if folder.exists():  # save_strategy epoch, and asked to end after the last step of one: the trainer saves twice
                (folder / COMPLETE).rename(folder / BEGUN)
            else:
                with files.new_folder(folder) as temporary:
                    (temporary / BEGUN).touch()
        self.accelerator.wait_for_everyone()

    on_epoch_end = on_step_end

    def on_save(self, args, state, control, **_) -> None:
        """Called in every process, each having written its part."""
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process and state.global_step < state.max_steps:
            folder = self._folder(args, state)
            files.sync_tree(folder)
            files.replace(folder / BEGUN, folder / COMPLETE)
            prune(args.output_dir, self.limit)
        self.accelerator.wait_for_everyone()

    def _folder(self, args, state) -> Path:
        return Path(args.output_dir) / f"checkpoint-{state.global_step}"


class EndOnSignal(TrainerCallback):
    """Has a run that gets SIGTERM or SIGUSR1 save a checkpoint after the step it is in, and end."""

    def __init__(self) -> None:
        self.asked = self.ended = False
        for number in SIGNALS:
            signal.signal(number, self._ask)

    def is_asked(self, device) -> bool:
        """Whether any process was asked to end; called in every process."""
        return bool(reduce(tensor(int(self.asked), device=device), "sum"))

    def on_step_end(self, args, state, control, **_) -> None:
        """All processes end after the same step, whichever of them was asked."""
        self.ended = self.is_asked(args.device) and state.global_step < state.max_steps
        if self.ended:
            control.should_training_stop = control.should_save = True

    def _ask(self, *_) -> None:
        self.asked = True
