"""Prepares the process for the machine it runs on. Called before torch and vllm are imported: both read it only once."""

import ctypes
import os
from pathlib import Path


def prepare() -> None:
    """Sets the environment for vLLM, in this process, on CPU and GPU; what the user has set already is kept.

    On CPU vLLM reserves one core and binds its threads by default: on two cores that is half the machine (178 against
    811 tokens/s of SmolLM2-135M). `VLLM_CPU_KVCACHE_SPACE` is in GiB.
    """
    ours = {
        # The trainer reaches into the engine to push weights, so engine and trainer share the process.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if not has_gpu():
        keep_freed_memory()
        ours |= {
            "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_CPU_KVCACHE_SPACE": "2",
        }
        # `accelerate launch` sets one thread a process on CPU, unasked: a third of the speed on two cores. Whoever wants
        # fewer threads gives the process fewer cores (taskset), which is what keeps two jobs off each other's cores anyway.
        if os.environ.get("OMP_NUM_THREADS", "1") == "1":
            processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
            os.environ["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // processes))
    for name, value in ours.items():
        os.environ.setdefault(name, value)


def keep_freed_memory() -> None:
    """Has glibc keep freed memory for the next tensor of this process.

    By default it hands every large block back to the system and asks for it again page by page: of a softmax over
    SmolLM2's vocabulary that is four fifths of the time. The numbers are M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h.
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(-4, 0)
    libc.mallopt(-1, 2**31 - 1)


def has_gpu() -> bool:
    """Whether an NVIDIA driver is loaded; asked of the system, because importing torch would settle the environment."""
    return Path("/proc/driver/nvidia/version").exists() and os.environ.get("CUDA_VISIBLE_DEVICES") != ""
