"""Patches to accelerate, tested with 1.15.0."""

import os

from eval.generation.machine import has_gpu


def shard_on_cpu() -> None:
    """Lets FSDP shard a model across CPU processes. Without it, each process silently trains its own copy.

    Upstream: accelerate/state.py, `AcceleratorState.__init__` reads `ACCELERATE_USE_FSDP` only if the distributed type is
    MULTI_GPU (or that of another accelerator).
    Remove when: it also reads it for MULTI_CPU.
    """
    if has_gpu() or os.environ.get("ACCELERATE_USE_FSDP") != "true":
        return
    from accelerate import DistributedType, PartialState

    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
