"""The run itself, once a recipe has made its trainer: resume or start, track, train, merge, save."""

import sys
from pathlib import Path

from data_mix.mixture_folder import read_rows
from recipes.training.checkpoints.atomic import MODEL, EndOnSignal, KeepComplete, clear, find_complete, prune
from recipes.training.checkpoints.final import publish, save_plain
from recipes.training.rollouts import GenerateFn
from recipes.training.tracking.heldout import HeldOut, HeldoutEval
from recipes.training.tracking.log import JsonlLog

ENDED_EARLY = 75  # EX_TEMPFAIL of sysexits.h: the same command resumes the run


def train_and_save(trainer, generate: GenerateFn, recipe) -> None:
    """Trains with the recipe's held-out problems tracked, from the last complete checkpoint, and saves one plain model."""
    rows = read_rows(recipe.mixture, "test")[: recipe.heldout_problems]
    trainer.add_callback(HeldOut(trainer, HeldoutEval(rows, trainer.processing_class, generate), recipe.heldout_every))
    keep, end = KeepComplete(trainer), EndOnSignal()
    trainer.add_callback(end)
    trainer.add_callback(keep)
    folder, main = trainer.args.output_dir, trainer.accelerator.is_main_process
    step, checkpoint = max(find_complete(folder).items(), default=(0, None))
    trainer.accelerator.wait_for_everyone()
    if main:
        JsonlLog(folder).forget_after(step)
        clear(folder, step)
        if checkpoint:
            print(f"{folder}: resuming after step {step}")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if end.ended:
        resumable = not trainer.args.save_only_model
        if main:
            then = "the same command resumes it" if resumable else "with save_only_model it cannot be resumed"
            print(f"{folder}: stopped after step {trainer.state.global_step} as requested; {then}", file=sys.stderr)
        sys.exit(ENDED_EARLY if resumable else 1)
    temporary = Path(folder) / MODEL
    save_plain(trainer, temporary)
    if main:
        publish(temporary, Path(folder))
        prune(folder, keep.limit)
