"""The run itself, once a recipe has made its trainer: track, train, merge, save."""

import shutil
from pathlib import Path

from data_mix.folder import read_rows
from recipes.training.tracking import HeldOut, Sampler, Slice


def train_and_save(trainer, sampler: Sampler, recipe) -> None:
    """Trains with the recipe's held-out problems tracked, and saves one plain checkpoint."""
    rows = read_rows(recipe.mixture, "test")[: recipe.heldout_problems]
    trainer.add_callback(HeldOut(trainer, Slice(rows, trainer.processing_class, sampler), recipe.heldout_every))
    trainer.train()
    merge_adapter(trainer)
    aside = Path(trainer.args.output_dir) / ".model.part"
    trainer.save_model(str(aside))
    if trainer.accelerator.is_main_process:
        publish(aside, Path(trainer.args.output_dir))
        shutil.rmtree(aside)


def merge_adapter(trainer) -> None:
    """Makes the trainer's model a plain one: an adapter is merged into the weights."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        trainer.model = model.merge_and_unload()


def publish(source: Path, folder: Path) -> None:
    """Copies a complete checkpoint's files to where every recipe leaves its model: whole, and the weights last."""
    for path in sorted(source.iterdir(), key=lambda path: path.suffix == ".safetensors"):
        aside = folder / f".{path.name}.part"
        shutil.copyfile(path, aside)
        aside.rename(folder / path.name)
