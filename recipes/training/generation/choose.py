"""Chooses a run's source of completions, and waits for its servers."""

import functools
from collections.abc import Callable

from accelerate import PartialState

from eval.generation import machine, server_folder
from recipes.training.generation import served
from recipes.training.generation.engine import EngineSource
from recipes.training.generation.source import Source
from recipes.training.generation.transformers_source import TransformersSource
from recipes.training.patches import trl as trl_patches
from recipes.training.preflight.services import choose_push


def choose_source(sampling, args, model: str, dtype: str, length: int) -> Callable[..., Source]:
    """What builds the run's Source, from the arguments of TRL's VLLMGeneration; called in every process.

    Args:
        sampling: the config with the fields of `arguments.Rollouts`.
        args: the trainer's config; its seed, output_dir and gradient_checkpointing_kwargs are used.
        model: the checkpoint that the run starts from.
        dtype: the trainer's compute dtype.
        length: prompt + completion, in tokens.

    Raises:
        InputError: if a server does not fit the run.
        TrainingError: if a server does not answer.
    """
    options = {"seed": args.seed, "sync_timeout": sampling.sync_timeout}
    if not sampling.use_vllm:
        return functools.partial(TransformersSource, checkpointing=args.gradient_checkpointing_kwargs, **options)
    if sampling.vllm_mode == "colocate":
        trl_patches.prepare_engine(args.seed, dtype)
        return functools.partial(EngineSource, **options)
    in_files = choose_push(sampling.weight_push, machine.has_gpu()) == "files"
    folder = server_folder.weights_folder(args.output_dir, server_folder.hosts(sampling.server_urls)) if in_files else None
    servers = served.connect(sampling, args.output_dir, model, dtype, length, folder)
    if in_files:
        # while servers are started again, a push waits for them
        options["sync_timeout"] += sampling.vllm_server_timeout
        return functools.partial(served.ServedSource, servers=servers, folder=folder, dtype=dtype, **options)
    if PartialState().is_main_process:
        trl_patches.send_token(servers.token)
        sampling.vllm_server_base_url = sampling.server_urls[0]
    return functools.partial(EngineSource, **options)
