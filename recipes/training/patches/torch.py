"""Patches to torch, tested with 2.13.0."""

import atexit
import os
import sys
from typing import NoReturn


def exit_process(status: int) -> NoReturn:
    """Exits with `status`; in a distributed run, without finalizing the interpreter.

    gloo's worker threads are not joined. If one of them asks for the GIL during finalization, the process aborts after
    everything was saved ("terminate called without an active exception", in about 1 of 24 runs).

    Upstream: https://github.com/pytorch/pytorch/pull/179291 (closed) and https://github.com/pytorch/pytorch/issues/190489.
    Remove when: `destroy_process_group` joins gloo's threads; `sys.exit` is enough then.
    """
    torch = sys.modules.get("torch")
    if not (torch and torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1):
        sys.exit(status)
    atexit._run_exitfuncs()  # os._exit skips the exit handlers of loggers and engines, which use the process groups
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
