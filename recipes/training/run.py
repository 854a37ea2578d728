"""The run itself, once a recipe has made its trainer: track, go on or begin, train, merge, save."""

import shutil
import sys
from pathlib import Path

from data_mix.folder import read_rows
from eval.run import find_checkpoints
from recipes.training.checkpoints import EndOnSignal, KeepComplete, find_complete
from recipes.training.tracking import HeldOut, JsonlLog, Sampler, Slice

ENDED_EARLY = 75  # EX_TEMPFAIL of sysexits.h: the same command goes on


def train_and_save(trainer, sampler: Sampler, recipe) -> None:
    """Trains with the recipe's held-out problems tracked, from the last complete checkpoint, and saves one plain model."""
    rows = read_rows(recipe.mixture, "test")[: recipe.heldout_problems]
    trainer.add_callback(HeldOut(trainer, Slice(rows, trainer.processing_class, sampler), recipe.heldout_every))
    keep, end = KeepComplete(trainer), EndOnSignal()
    trainer.add_callback(keep)
    trainer.add_callback(end)
    folder, main = trainer.args.output_dir, trainer.accelerator.is_main_process
    step, checkpoint = max(find_complete(folder).items(), default=(0, None))
    trainer.accelerator.wait_for_everyone()
    if main:
        JsonlLog(folder).forget_after(step)
        for number, path in find_checkpoints(folder).items():
            if number > step:  # half written, or of a run that began anew
                shutil.rmtree(path)
        if checkpoint:
            print(f"{folder}: goes on after step {step}")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if end.ended:
        if main:
            print(f"{folder}: ended after step {trainer.state.global_step} as asked; the same command goes on", file=sys.stderr)
        sys.exit(ENDED_EARLY)
    aside = Path(folder) / ".model.part"
    save_plain(trainer, aside)
    if main:
        publish(aside, Path(folder))
        shutil.rmtree(aside)
        keep.prune(folder)


def save_plain(trainer, folder: Path) -> None:
    """Writes model and tokenizer as one plain checkpoint, an adapter merged into the weights; called in every process."""
    from trl.distributed import DistributedBackend

    model = trainer.accelerator.unwrap_model(trainer.model)
    backend = DistributedBackend(trainer.accelerator)
    if not hasattr(model, "merge_and_unload"):
        trainer.save_model(str(folder))
    elif backend.is_fsdp:
        trainer.model = model.merge_and_unload()
        trainer.save_model(str(folder))
    else:  # DeepSpeed's engine keeps the names of the model with an adapter, and under ZeRO-3 a process has no whole weights
        with backend.gather_params(list(model.parameters())):
            merged = model.merge_and_unload()
            if trainer.accelerator.is_main_process:
                merged.save_pretrained(folder)
                trainer.processing_class.save_pretrained(folder)
        trainer.accelerator.wait_for_everyone()


def publish(source: Path, folder: Path) -> None:
    """Copies a complete checkpoint's files to where every recipe leaves its model: whole, and the weights last."""
    for path in sorted(source.iterdir(), key=lambda path: path.suffix == ".safetensors"):
        aside = folder / f".{path.name}.part"
        shutil.copyfile(path, aside)
        aside.rename(folder / path.name)
