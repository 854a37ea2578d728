"""Checkpoints that are complete or not there, and the end of a run that is asked to end.

A checkpoint counts once every process has written its part and the main one has put the file `complete` into it. Older ones
are removed after that, by us: the trainer's own `save_total_limit` would remove them before.
"""

import shutil
import signal
from pathlib import Path

from accelerate.utils import reduce
from torch import tensor
from transformers import TrainerCallback

from eval.run import find_checkpoints

MARKER = "complete"
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)  # of a batch system, some time before it kills


def find_complete(output_dir: str) -> dict[int, Path]:
    """Step → the `checkpoint-N` that a run can go on from, in order."""
    return {step: path for step, path in find_checkpoints(output_dir).items() if (path / MARKER).is_file()}


class KeepComplete(TrainerCallback):
    """Marks each checkpoint that the trainer has written, and keeps the last `save_total_limit` of them.

    The last one is not marked, and removes none: the model itself follows it, and a trainer that went on from there would take
    one step too many.
    """

    def __init__(self, trainer) -> None:
        self.accelerator, self.limit = trainer.accelerator, trainer.args.save_total_limit
        trainer.args.save_total_limit = None

    def on_save(self, args, state, control, **_) -> None:
        """Called in every process, each having written its part."""
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process and state.global_step < state.max_steps:
            if not args.save_only_model:
                (Path(args.output_dir) / f"checkpoint-{state.global_step}" / MARKER).touch()
            self.prune(args.output_dir)
        self.accelerator.wait_for_everyone()

    def prune(self, output_dir: str) -> None:
        """Removes all but the last checkpoints."""
        for path in list(find_checkpoints(output_dir).values())[: -self.limit] if self.limit else []:
            shutil.rmtree(path)


class EndOnSignal(TrainerCallback):
    """Has a run that gets SIGTERM or SIGUSR1 save a checkpoint after the step it is in, and end."""

    def __init__(self) -> None:
        self.asked = self.ended = False
        for number in SIGNALS:
            signal.signal(number, self._ask)

    def on_step_end(self, args, state, control, **_) -> None:
        """All processes end after the same step, whichever of them was asked."""
        asked = tensor(int(self.asked and state.global_step < state.max_steps), device=args.device)
        if args.world_size > 1:
            asked = reduce(asked, "sum")
        self.ended = bool(asked)
        if self.ended:
            control.should_training_stop = control.should_save = True

    def _ask(self, *_) -> None:
        self.asked = True
