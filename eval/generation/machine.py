"""Adapts the process to the machine: environment, malloc, KV-cache size. Call `prepare` before importing torch or vllm."""

import ctypes
import os
import signal
from pathlib import Path

from eval.generation.quiet import silence_libraries

# Tokens per block of vLLM's KV cache on CPU, where its default is 128. Whole blocks of a prompt are computed once for all its
# samples.
BLOCK = 32
CACHE_LIMIT = 2 * 2**30  # bytes; largest KV cache on CPU


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Asks the kernel to send this process a signal when its parent exits for any reason."""
    pr_set_pdeathsig = 1  # linux/prctl.h
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, number)


def prepare() -> None:
    """Sets environment variables for vLLM, unless the user has set them.

    By default vLLM on CPU reserves one core and pins its threads, which leaves half of a two-core machine unused (178
    instead of 811 tokens/s for SmolLM2-135M).
    """
    defaults = {
        # The trainer pushes weights into the engine directly, so both must be in one process.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        # On a GPU, FlashInfer compiles its sampler when an engine starts, with nvcc, which needs the CUDA toolkit.
        "VLLM_USE_FLASHINFER_SAMPLER": "0",
    }
    if not has_gpu():
        keep_freed_memory()
        defaults |= {"VLLM_CPU_NUM_OF_RESERVED_CPU": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
        # `accelerate launch` defaults to one thread per process on CPU, a third of the speed on two cores, so 1 is overridden.
        # To use fewer threads, restrict the cores with taskset; that also keeps concurrent jobs off each other's cores.
        if os.environ.get("OMP_NUM_THREADS", "1") == "1":
            processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
            os.environ["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // processes))
    silence_libraries()
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def keep_freed_memory() -> None:
    """Makes glibc's malloc keep freed memory for later allocations.

    By default it returns each large block to the system and page-faults it in again, which takes four fifths of the time of
    a softmax over SmolLM2's vocabulary. -4 and -1 are M_MMAP_MAX and M_TRIM_THRESHOLD in malloc.h; a threshold of -1 is none.
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(-4, 0)
    libc.mallopt(-1, -1)


def resident_bytes() -> int:
    """The memory of this process that is in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def release_freed_memory() -> None:
    """Makes glibc's malloc return all freed memory to the system, also that between blocks in use."""
    ctypes.CDLL(None).malloc_trim(0)


def cache_bytes(config, dtype: str, max_length: int, sequences: int) -> int | None:
    """Bytes to reserve for vLLM's KV cache on CPU, at most 2 GiB; None on GPUs, where vLLM measures free memory.

    vLLM writes to the entire cache at startup; for a small model, 2 GiB would take longer than loading the model.
    `VLLM_CPU_KVCACHE_SPACE` (GiB) takes precedence in vLLM.

    Args:
        config: the model's transformers config.
        dtype: float32, bfloat16, float16, or auto for the one the checkpoint is stored in.
        max_length: prompt + completion, in tokens.
        sequences: batch size.
    """
    if has_gpu():
        return None
    dtype = (stored_dtype(config) or "float32") if dtype == "auto" else dtype
    return min(cache_size(config, dtype, max_length, sequences), CACHE_LIMIT)


def stored_dtype(config) -> str | None:
    """The dtype recorded in a transformers config; None if there is none."""
    dtype = getattr(config, "dtype", None)
    return dtype and str(dtype).removeprefix("torch.")


def head_size(config) -> int:
    """The size of an attention head, for a transformers config."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def cache_size(config, dtype: str, max_length: int, sequences: int) -> int:
    """Bytes of KV cache for `sequences` sequences of `max_length` tokens, for a transformers config; one spare block each."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = heads * head_size(config)
    blocks = -(-max_length // BLOCK) + 1
    return 2 * config.num_hidden_layers * width * (4 if dtype == "float32" else 2) * blocks * BLOCK * sequences


def has_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16 (AVX-512, AMX).

    Without them, training SmolLM2-135M in bfloat16 takes more than 30 times as long as in float32.
    """
    import torch

    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def has_gpu() -> bool:
    """Whether an NVIDIA GPU is visible. Does not ask torch, which must not be imported before `prepare`."""
    return Path("/proc/driver/nvidia/version").exists() and os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1")
