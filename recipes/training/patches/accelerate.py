"""Patches to accelerate, tested with 1.15.0."""

import os

from eval.generation.machine import has_gpu


def shard_on_cpu() -> None:
    """Lets FSDP shard a model between CPU processes.

    Upstream: accelerate/state.py, `AcceleratorState.__init__`: `ACCELERATE_USE_FSDP` counts only where the distributed type is
    MULTI_GPU (or another accelerator's), so on CPU each process would train a model of its own without a word.
    Remove when: accelerate's MULTI_CPU reads `ACCELERATE_USE_FSDP`.
    """
    if has_gpu() or os.environ.get("ACCELERATE_USE_FSDP") != "true":
        return
    from accelerate import DistributedType, PartialState

    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
