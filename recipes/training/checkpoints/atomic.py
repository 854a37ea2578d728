"""Atomic checkpoints: a run resumes only from complete ones, and removes only its own.

A `checkpoint-N` of ours contains a marker file: `begun`, created before the trainer writes, then renamed to `complete` once
all processes have written their part and everything is flushed to disk. A checkpoint without a marker is the user's: it is
never removed, and a run that might overwrite it does not start. Old checkpoints are removed here, after the new one is
complete; the trainer's `save_total_limit` would remove them before.
"""

import shutil
from pathlib import Path

from transformers import TrainerCallback, TrainerState

from data_mix import files
from data_mix.errors import InputError
from eval.model_folder import find_checkpoints
from recipes.training.checkpoints.shutdown import at_generation_boundary

BEGUN, COMPLETE = "begun", "complete"
MODEL = ".model.part"  # the final model while it is being written


def find_complete(output_dir: str) -> dict[int, Path]:
    """Step or round → the complete `checkpoint-N`, in order."""
    return _find_marked(output_dir, COMPLETE)


def last_complete(output_dir: str) -> tuple[int, Path | None]:
    """The step or round of the last complete checkpoint, and its folder; 0 and None if there is none."""
    return max(find_complete(output_dir).items(), default=(0, None))


def last_resumable(args) -> tuple[int, Path | None]:
    """As `last_complete`, of the checkpoints after which the trainer has steps left.

    From that of its last step, transformers' Trainer would take one step too many.
    """
    for step, path in reversed(find_complete(args.output_dir).items()):
        state = TrainerState.load_from_json(str(path / "trainer_state.json"))
        # not from state.num_train_epochs, which is rounded up
        total = step / state.epoch * args.num_train_epochs if state.epoch else 0
        if step < (args.max_steps if args.max_steps > 0 else total - 1e-6 * step):
            return step, path
    return 0, None


def _find_marked(output_dir: str, *markers: str) -> dict[int, Path]:
    return {
        number: path
        for number, path in find_checkpoints(output_dir).items()
        if not path.is_symlink() and any((path / marker).is_file() for marker in markers)
    }


def check(output_dir: str, save_only_model: bool) -> None:
    """Checks that training loses no checkpoint.

    Raises:
        InputError: for checkpoints that cannot be resumed from, or that are not ours and might be overwritten.
    """
    own = _find_marked(output_dir, BEGUN, COMPLETE)
    if own and save_only_model:
        raise InputError(
            f"output_dir {output_dir} holds checkpoints of a run with save_only_model, which cannot be resumed",
            "give another --output_dir, or remove it first",
        )
    last, _ = last_complete(output_dir)
    for number, path in find_checkpoints(output_dir).items():
        if number > last and number not in own:
            raise InputError(
                f"output_dir {output_dir}: {path.name} has neither `{BEGUN}` nor `{COMPLETE}` in it, so it is not this run's, "
                "which might overwrite it",
                "move it elsewhere, or remove it",
            )


def clean_up(output_dir: str, done: int) -> None:
    """Removes what a killed run left incomplete; `done` is the step or round from which the run resumes."""
    for number, path in _find_marked(output_dir, BEGUN, COMPLETE).items():
        if number > done:
            _remove(path)
    for partial in (*Path(output_dir).glob(".checkpoint-*.part"), Path(output_dir) / MODEL):
        shutil.rmtree(partial, ignore_errors=True)


def complete(output_dir: str) -> None:
    """Marks the checkpoint of the last step complete, so that the finished run can be extended."""
    for path in _find_marked(output_dir, BEGUN).values():
        files.sync_tree(path)
        files.replace(path / BEGUN, path / COMPLETE)


def prune(output_dir: str, limit: int | None) -> None:
    """Removes all but the last `limit` of our checkpoints; none if `limit` is None or 0."""
    for path in list(_find_marked(output_dir, BEGUN, COMPLETE).values())[: -limit if limit else 0]:
        _remove(path)


def _remove(path: Path) -> None:
    """Renames the checkpoint before removing it, so that a kill in between leaves no partial `checkpoint-N`."""
    temporary = path.with_name(f".{path.name}.part")
    path.rename(temporary)
    shutil.rmtree(temporary)


class AtomicCheckpoints(TrainerCallback):
    """Marks the trainer's checkpoints and keeps the last `save_total_limit` of them.

    A checkpoint that is due between generation boundaries is written at the next. That of the last step stays `begun` until
    the final model is there (`complete`). Add this callback last: others may request a checkpoint in `on_step_end`.
    """

    def __init__(self, trainer) -> None:
        self.is_due = False
        self.accelerator, self.limit = trainer.accelerator, trainer.args.save_total_limit
        trainer.args.save_total_limit = None

    def on_step_end(self, args, state, control, **_) -> None:
        """Called in every process before the trainer writes."""
        self.is_due |= control.should_save
        control.should_save = self.is_due and at_generation_boundary(args, state)
        if not control.should_save:
            return
        self.is_due = False
        if self.accelerator.is_main_process:
            folder = self._folder(args, state)
            if folder.exists():  # with save_strategy epoch, a shutdown after the last step of an epoch saves twice
                (folder / COMPLETE).rename(folder / BEGUN)
            else:
                with files.new_folder(folder) as temporary:
                    (temporary / BEGUN).touch()
        self.accelerator.wait_for_everyone()

    on_epoch_end = on_step_end

    def has(self, args, state) -> bool:
        """Whether the checkpoint of this step is complete."""
        return (self._folder(args, state) / COMPLETE).is_file()

    def on_save(self, args, state, control, **_) -> None:
        """Called in every process after it has written its part."""
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process and state.global_step < state.max_steps:
            folder = self._folder(args, state)
            files.sync_tree(folder)
            files.replace(folder / BEGUN, folder / COMPLETE)
            prune(args.output_dir, self.limit)
        self.accelerator.wait_for_everyone()

    def _folder(self, args, state) -> Path:
        return Path(args.output_dir) / f"checkpoint-{state.global_step}"
