"""Prepares the process for the machine it runs on. Called before torch and vllm are imported: both read it only once."""

import ctypes
import os
import signal
from pathlib import Path

BLOCK = 128  # tokens in a block of vLLM's KV cache on CPU
CACHE_LIMIT = 2 * 2**30  # bytes of it


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Has the kernel send this process a signal when its parent ends, however that ends."""
    pr_set_pdeathsig = 1  # linux/prctl.h
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, number)


def prepare() -> None:
    """Sets the environment for vLLM, in this process, on CPU and GPU; what the user has set already is kept.

    On CPU vLLM reserves one core and binds its threads by default: on two cores that is half the machine (178 against
    811 tokens/s of SmolLM2-135M).
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


def cache_bytes(model: str, dtype: str, max_length: int, sequences: int) -> int | None:
    """What vLLM's KV cache needs on CPU, at most 2 GiB; None on GPUs, where vLLM measures what is free.

    All of it is written to when the engine starts: for a small model 2 GiB would take longer than loading it.
    `VLLM_CPU_KVCACHE_SPACE` (GiB), where it is set, is what vLLM takes instead.

    Args:
        model: checkpoint folder or hub id.
        dtype: float32, bfloat16, float16, or auto for the checkpoint's own.
        max_length: prompt + completion, in tokens.
        sequences: how many at a time.
    """
    if has_gpu():
        return None
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model)
    dtype = (stored_dtype(config) or "float32") if dtype == "auto" else dtype
    return min(cache_size(config, dtype, max_length, sequences), CACHE_LIMIT)


def stored_dtype(config) -> str | None:
    """The precision that a checkpoint says it is stored in; `config` is transformers' own."""
    dtype = getattr(config, "dtype", None)
    return dtype and str(dtype).removeprefix("torch.")


def cache_size(config, dtype: str, max_length: int, sequences: int) -> int:
    """Bytes of keys and values of so many sequences of `max_length` tokens; `config` is transformers' own."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    blocks = -(-max_length // BLOCK) + 1
    return 2 * config.num_hidden_layers * width * (4 if dtype == "float32" else 2) * blocks * BLOCK * sequences


def has_gpu() -> bool:
    """Whether an NVIDIA driver is loaded; asked of the system, because importing torch would settle the environment."""
    return Path("/proc/driver/nvidia/version").exists() and os.environ.get("CUDA_VISIBLE_DEVICES") != ""
