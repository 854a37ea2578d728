"""Graceful shutdown: on SIGTERM or SIGUSR1 a run saves a checkpoint and exits with code 75; on Ctrl-C, with code 130."""

import signal
import sys

from accelerate.utils import reduce
from torch import tensor
from transformers import TrainerCallback

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)  # batch systems send one of them some time before they kill a job
STOPPED_EARLY = 75  # EX_TEMPFAIL of sysexits.h: the same command resumes the run


def at_generation_boundary(args, state) -> bool:
    """Whether all micro-batches that were generated are used up; always, in SFT.

    Completions are not part of a checkpoint, so a run that resumes between boundaries would generate others.
    """
    per_generation = getattr(args, "steps_per_generation", 1) * getattr(args, "num_iterations", 1)
    return state.global_step * args.gradient_accumulation_steps % per_generation == 0


class GracefulShutdown(TrainerCallback):
    """Stops training after the current step, with a checkpoint, once any process has received a signal.

    Where optimizer steps share a generation, it stops after the last of them. A second Ctrl-C exits at once.

    Attributes:
        stopped: whether it has stopped training.
        exit_code: with which the process should exit then.
    """

    def __init__(self) -> None:
        self.received = self.stopped = False
        self.exit_code = STOPPED_EARLY
        for number in (*SIGNALS, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def is_requested(self, device) -> bool:
        """Whether any process has received a signal; called in every process."""
        return bool(reduce(tensor(int(self.received), device=device), "sum"))

    def on_step_end(self, args, state, control, **_) -> None:
        """All processes stop after the same step."""
        unfinished = at_generation_boundary(args, state) and state.global_step < state.max_steps
        self.stopped = self.is_requested(args.device) and unfinished
        if self.stopped:
            control.should_training_stop = control.should_save = True

    def _on_signal(self, number: int, _) -> None:
        if number == signal.SIGINT:
            if self.received:
                raise KeyboardInterrupt
            self.exit_code = 130
            print("stopping after this step; press Ctrl-C again to exit at once", file=sys.stderr)
        self.received = True
