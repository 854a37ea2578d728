"""Graceful shutdown: on SIGTERM or SIGUSR1 a run saves a checkpoint and exits with code 75."""

import signal

from accelerate.utils import reduce
from torch import tensor
from transformers import TrainerCallback

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)  # batch systems send one of them some time before they kill a job
STOPPED_EARLY = 75  # EX_TEMPFAIL of sysexits.h: the same command resumes the run


class GracefulShutdown(TrainerCallback):
    """Stops training after the current step, with a checkpoint, once any process has received a signal."""

    def __init__(self) -> None:
        self.received = self.stopped = False
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def is_requested(self, device) -> bool:
        """Whether any process has received a signal; called in every process."""
        return bool(reduce(tensor(int(self.received), device=device), "sum"))

    def on_step_end(self, args, state, control, **_) -> None:
        """All processes stop after the same step."""
        self.stopped = self.is_requested(args.device) and state.global_step < state.max_steps
        if self.stopped:
            control.should_training_stop = control.should_save = True

    def _on_signal(self, *_) -> None:
        self.received = True
