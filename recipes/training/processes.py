"""Several processes: what accelerate and torch have to be told so that they are one run, above all without a GPU."""

import atexit
import os
import sys
from typing import NoReturn

from eval.machine import has_gpu


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


def allow_fsdp() -> None:
    """On CPU, has accelerate shard with FSDP where that was asked for: alone, it does so only for processes with GPUs."""
    if has_gpu() or os.environ.get("ACCELERATE_USE_FSDP") != "true":
        return
    from accelerate import DistributedType, PartialState

    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
