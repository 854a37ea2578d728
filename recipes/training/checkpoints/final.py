"""The final model of a run: one plain checkpoint in the output folder, without adapter or shards, with a model card."""

import shutil
from pathlib import Path

from data_mix import files
from recipes.training.checkpoints.card import push, write_card
from recipes.training.tracking.console import print_end


def save_merged(trainer, folder: Path) -> None:
    """Writes model and tokenizer as one plain checkpoint, with an adapter merged into the weights; called in every process.

    An internal call of `save_model` does not push: with `push_to_hub`, the published folder is pushed later.
    """
    from trl.distributed import DistributedBackend

    model = trainer.accelerator.unwrap_model(trainer.model)
    backend = DistributedBackend(trainer.accelerator)
    if not hasattr(model, "merge_and_unload"):
        trainer.save_model(str(folder), _internal_call=True)
    elif backend.is_fsdp:
        trainer.model = model.merge_and_unload()
        trainer.save_model(str(folder), _internal_call=True)
    else:  # DeepSpeed's engine keeps the adapter's parameter names, and under ZeRO-3 each process holds only shards
        with backend.gather_params(list(model.parameters())):
            merged = model.merge_and_unload()
            if trainer.accelerator.is_main_process:
                merged.save_pretrained(folder)
                trainer.processing_class.save_pretrained(folder)
        trainer.accelerator.wait_for_everyone()


def publish(source: Path, folder: Path) -> None:
    """Moves a model's files from `source` into `folder`, each flushed to disk, the weights last."""
    for path in sorted(source.iterdir(), key=lambda path: path.suffix == ".safetensors"):
        if path.is_dir():  # of chat templates
            shutil.rmtree(folder / path.name, ignore_errors=True)
        else:
            path.chmod(0o666 & ~files.umask())  # safetensors makes its files readable by their owner alone
        files.replace(path, folder / path.name)
    source.rmdir()


def conclude(args, heldout_problems: int, following: str) -> None:
    """Writes the model card, prints the results, and pushes the published model if `push_to_hub` is set; in the main process.

    Args:
        args: TRL's config.
        heldout_problems: number of held-out problems, for the intervals.
        following: the command to run next.
    """
    write_card(args.output_dir, args.hub_model_id)
    print_end(args.output_dir, heldout_problems, following)
    if args.push_to_hub:
        push(args)
