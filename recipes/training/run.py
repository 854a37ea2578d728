"""The run itself, once a recipe has made its trainer: resume or start, track, train, merge, save."""

import sys
from pathlib import Path

from data_mix import files
from data_mix.folder import read_rows
from recipes.training.checkpoints import MODEL, EndOnSignal, KeepComplete, clear, find_complete, prune
from recipes.training.tracking import HeldOut, HeldoutEval, JsonlLog, Sampler

ENDED_EARLY = 75  # EX_TEMPFAIL of sysexits.h: the same command resumes the run


def train_and_save(trainer, sampler: Sampler, recipe) -> None:
    """Trains with the recipe's held-out problems tracked, from the last complete checkpoint, and saves one plain model."""
    rows = read_rows(recipe.mixture, "test")[: recipe.heldout_problems]
    trainer.add_callback(HeldOut(trainer, HeldoutEval(rows, trainer.processing_class, sampler), recipe.heldout_every))
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
    """Moves a model's files to where every recipe leaves its model: each once it is on disk, and the weights last."""
    for path in sorted(source.iterdir(), key=lambda path: path.suffix == ".safetensors"):
        path.chmod(0o666 & ~files.umask())  # safetensors writes for the owner alone
        files.replace(path, folder / path.name)
    source.rmdir()
