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

import functools
import os
import socket

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
    """On CPU, has accelerate shard with FSDP where that was asked for: it does so only for processes that it takes for GPUs'."""
    if has_gpu() or os.environ.get("ACCELERATE_USE_FSDP") != "true":
        return
    from accelerate import DistributedType, PartialState

    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


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


def score_labels_only() -> None:
    """On CPU, has TRL's fused LM head project only the positions that have a label, as it does on CUDA."""
    from trl.trainer import utils

    if not has_gpu():
        utils._use_triton = lambda device: True  # asked there for nothing but this choice
