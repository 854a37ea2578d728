"""TRL 1.16 and vLLM: places where their defaults fail or waste, most of them on CPU, each mended from outside.

Weight push: TRL's colocate mode pushes weights with `model.load_weights`, one parameter at a time. On CPU vLLM repacks its
linear weights after loading, and the second load fails (`'Parameter' object has no attribute 'weight_loader'`). vLLM's
own `reload_weights` undoes the packing first.

Engine: TRL leaves the colocated engine's dtype, seed and compilation to defaults that do not fit (on GPUs as well):
float32 models are rolled out in bfloat16, every run has seed 0, and on CPU the compiler takes longer than a small run.

Port: TRL looks for a free one for the engine's process group among the same four, 29500 first, so that two runs that start
together want the same.

Scored positions: off CUDA, TRL projects every position, prompt and padding too, onto the vocabulary, so that tile shapes
stay the same for compilers. Nothing is compiled here, and with a vocabulary of 49,152 that was half of an SFT step.
"""

import faulthandler
import functools
import os
import socket
import sys
import threading

from eval.machine import cache_bytes, has_gpu


def prepare_colocate(seed: int, dtype: str) -> None:
    """Gives TRL's colocated engine the run's seed and dtype, and on CPU a weight push that works and a quick sampler.

    Args:
        seed: the run's seed; each rank adds its number.
        dtype: what the trainer computes in, so that sampler and trainer agree: float32, bfloat16 or float16.
    """
    from trl.generation import vllm_generation
    from vllm import LLM

    from eval import sampler

    @functools.wraps(LLM)
    def engine(**kwargs):
        kwargs["seed"] = seed * 1000 + kwargs["seed"]
        cache = cache_bytes(kwargs["model"], dtype, kwargs["max_model_len"], kwargs["max_num_seqs"])
        return LLM(**kwargs, dtype=dtype, enforce_eager=not has_gpu(), kv_cache_memory_bytes=cache)

    vllm_generation.LLM = engine
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        os.environ["MASTER_PORT"] = str(free_port())
    if not has_gpu():
        sampler.install()
        vllm_generation.VLLMGeneration.sync_weights = reload_weights


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def reload_weights(generation) -> None:
    """`VLLMGeneration.sync_weights` through vLLM's own reload; on CPU there is no other mode than colocate."""
    runner = generation.llm.llm_engine.model_executor.driver_worker.model_runner
    runner.reload_weights(weights_iterator=generation._iter_named_params())
    generation.llm.reset_prefix_cache()


def limit_sync(seconds: int) -> None:
    """Ends the process, with a line and the stack of each thread, when weights have not reached vLLM after so long.

    A server that is gone, or one process that does not take part, would else leave all of them waiting for each other.
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
    """On CPU, has TRL's fused LM head project only the positions that have a label, as it does on CUDA."""
    from trl.trainer import utils

    if not has_gpu():
        utils._use_triton = lambda device: True  # asked there for nothing but this choice
