"""The processes of a run: they end with their launcher, lock the run's folder, and get the settings they need on CPU."""

import atexit
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO

from data_mix import locks
from data_mix.errors import InputError
from eval.generation.machine import end_with_parent, has_gpu

# One of them is set by torchrun, and by every kind of `accelerate launch`
LAUNCHERS = ("TORCHELASTIC_RUN_ID", "ACCELERATE_DYNAMO_MODE")
_held: list[TextIO] = []  # locks, until this process ends


def end_with_launcher() -> None:
    """Has this process asked to end, by SIGTERM, when the launcher that started it is gone: nobody else would."""
    if any(name in os.environ for name in LAUNCHERS):
        end_with_parent(signal.SIGTERM)


def claim(output_dir: str, check: Callable[[], None]) -> None:
    """Locks the run's folder until the last of its processes has ended, and checks what is in it; called in every process.

    Args:
        output_dir: the folder, which is made if it is missing.
        check: raises InputError for a folder that this run must not write into. Called by the main process, under the lock.

    Raises:
        InputError: in every process the same one, when another run has the folder, or by `check`.
    """
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    is_main, said = PartialState().is_main_process, [None]
    if is_main:
        try:
            lock = locks.lock(Path(output_dir))
            check()
            locks.share(lock)
        except (InputError, OSError) as error:
            said = [f"output_dir {output_dir}: {error}" if isinstance(error, OSError) else str(error)]
    if error := broadcast_object_list(said)[0]:
        raise InputError(error)
    _held.append(lock if is_main else locks.lock(Path(output_dir), shared=True))


def end(status: int) -> NoReturn:
    """Ends this process with an exit code. One of several leaves the others, and then ends without the interpreter's own end:

    gloo's threads are never joined, and one that asks for the interpreter while that is going away aborts the process, after
    everything was saved (seen in about one run of 24, "terminate called without an active exception").
    """
    torch = sys.modules.get("torch")
    if not (torch and torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1):
        sys.exit(status)
    torch.distributed.destroy_process_group()
    atexit._run_exitfuncs()  # what loggers and engines have still to do
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def prepare_processes(parser) -> None:
    """Sets what several processes need to be one run, as defaults of the config; without a GPU they talk through gloo.

    There accelerate would take them for runs of one process each. DeepSpeed's it knows, but only without `use_cpu`.
    """
    # Every weight that is trained has its gradient; looking for one without would cost a walk through the graph each step.
    parser.set_defaults(ddp_find_unused_parameters=False)
    if has_gpu():
        return
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"  # not cpu:0, for which torch can save an optimizer but not load it
    parser.set_defaults(use_cpu=os.environ.get("ACCELERATE_USE_DEEPSPEED") != "true")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        parser.set_defaults(ddp_backend="gloo")
