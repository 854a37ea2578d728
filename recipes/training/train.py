"""What sft.py and grpo.py do once they have a trainer: resume or start, evaluate on held-out problems, train, save."""

import sys
from pathlib import Path

from transformers.trainer_utils import HubStrategy

from recipes.training.checkpoints.atomic import MODEL, AtomicCheckpoints, clean_up, complete, last_resumable, prune
from recipes.training.checkpoints.final import conclude, publish, save_merged
from recipes.training.checkpoints.shutdown import GracefulShutdown
from recipes.training.generation.generators import GenerateFn
from recipes.training.tracking.console import Columns, Console
from recipes.training.tracking.heldout import HeldoutCallback, HeldoutEval
from recipes.training.tracking.log import JsonlLog


def train_and_save(
    trainer, generate: GenerateFn, heldout_rows: list[dict], every: int, columns: Columns, following: str
) -> None:
    """Trains from the last complete checkpoint, with held-out evaluation, and saves one plain model.

    Args:
        trainer: TRL's trainer.
        generate: completions for held-out evaluation.
        heldout_rows: the problems to evaluate on.
        every: steps between two evaluations.
        columns: what the console shows of each log entry.
        following: the command to run next.
    """
    Console.attach(trainer, columns)
    heldout = HeldoutEval(heldout_rows, trainer.processing_class, generate)
    trainer.add_callback(HeldoutCallback(trainer, heldout, every))
    checkpoints, shutdown = AtomicCheckpoints(trainer), GracefulShutdown()
    trainer.add_callback(shutdown)
    trainer.add_callback(checkpoints)
    folder, is_main = trainer.args.output_dir, trainer.accelerator.is_main_process
    # the trainer would copy the weights of a checkpoint that it pushes into the folder, where they look like the final model
    trainer.args.hub_strategy = HubStrategy.END
    step, checkpoint = last_resumable(trainer.args)
    trainer.accelerator.wait_for_everyone()
    if is_main:
        JsonlLog(folder).truncate(step)
        clean_up(folder, step)
        if checkpoint:
            print(f"{folder}: resuming after step {step}")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if shutdown.stopped:
        resumable = not trainer.args.save_only_model
        if is_main:
            then = "the same command resumes it" if resumable else "with save_only_model it cannot be resumed"
            print(f"{folder}: stopped after step {trainer.state.global_step} as requested; {then}", file=sys.stderr)
        sys.exit(shutdown.exit_code if resumable else 1)
    temporary = Path(folder) / MODEL
    save_merged(trainer, temporary)
    if is_main:
        publish(temporary, Path(folder))
        complete(folder)
        prune(folder, checkpoints.limit)
        conclude(trainer.args, heldout.problems, following)
