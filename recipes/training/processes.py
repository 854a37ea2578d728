"""The processes of a run: they exit with their launcher, lock the output folder, and get the settings that CPU runs need."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from data_mix import locks
from data_mix.errors import InputError
from eval.generation.machine import end_with_parent, has_gpu

# torchrun sets the first, every kind of `accelerate launch` the second
LAUNCHERS = ("TORCHELASTIC_RUN_ID", "ACCELERATE_DYNAMO_MODE")
_held: list[TextIO] = []  # keeps lock files open until this process exits


def end_with_launcher() -> None:
    """Sends this process SIGTERM when its launcher dies; without it, the recipe would keep running."""
    if any(name in os.environ for name in LAUNCHERS):
        end_with_parent(signal.SIGTERM)


def claim(output_dir: str, check: Callable[[], None]) -> None:
    """Checks the output folder and locks it until the last process of the run exits; called in every process.

    Args:
        output_dir: the folder, created if missing.
        check: raises InputError if this run must not write into the folder. Called in the main process, under the lock.

    Raises:
        InputError: in every process, if another run holds the lock or `check` fails.
    """
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    is_main, message = PartialState().is_main_process, [None]
    if is_main:
        try:
            lock = locks.lock(Path(output_dir))
            check()
            locks.share(lock)
        except (InputError, OSError) as error:
            message = [f"output_dir {output_dir}: {error}" if isinstance(error, OSError) else str(error)]
    if error := broadcast_object_list(message)[0]:
        raise InputError(error)
    _held.append(lock if is_main else locks.lock(Path(output_dir), shared=True))


def prepare_processes(parser) -> None:
    """Sets the config defaults of a distributed run; without a GPU, the processes communicate through gloo.

    By default, accelerate treats CPU processes as separate single-process runs. It recognises DeepSpeed's, but only without
    `use_cpu`.
    """
    # Every trained weight gets a gradient; searching the graph for unused ones would only cost time.
    parser.set_defaults(ddp_find_unused_parameters=False)
    if has_gpu():
        return
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"  # not cpu:0, for which torch can save an optimizer but not load it
    parser.set_defaults(use_cpu=os.environ.get("ACCELERATE_USE_DEEPSPEED") != "true")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        parser.set_defaults(ddp_backend="gloo")
