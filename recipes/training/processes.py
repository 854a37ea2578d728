"""Several processes without a GPU: what accelerate and torch have to be told so that they are one run."""

import os

from eval.machine import has_gpu


def prepare_processes(parser) -> None:
    """Without a GPU, has several processes be one run and talk through gloo, whoever starts their group.

    Accelerate would take them for runs of one process each. DeepSpeed's it knows, but only without `use_cpu`.
    """
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
