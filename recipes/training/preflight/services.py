"""Checks of external services: the hub, experiment trackers and rollout servers."""

import importlib.util
from collections.abc import Iterator

from data_mix.errors import InputError, nearest
from data_mix.files import reason
from eval.generation.server_engine import check_urls
from recipes.training.preflight.environment import Environment
from recipes.training.preflight.findings import Finding


def check_hub(args, given: frozenset[str] = frozenset()) -> Iterator[Finding]:
    """`push_to_hub` without a valid token, and checkpoints that the trainer would copy over the final model."""
    if not args.push_to_hub:
        return
    import httpx
    from huggingface_hub import HfApi, constants, get_token

    if not (args.hub_token or get_token()):
        yield Finding("push_to_hub", "push_to_hub is true, but there is no token", "run `hf auth login`, or set HF_TOKEN")
    elif constants.HF_HUB_OFFLINE:
        yield Finding("push_to_hub", "push_to_hub is true, but HF_HUB_OFFLINE is set", "unset one of them")
    else:
        try:
            HfApi(token=args.hub_token).whoami()
        except (httpx.HTTPError, OSError, ValueError) as error:
            problem = f"push_to_hub is true, but the hub does not accept the token ({reason(error)})"
            yield Finding("push_to_hub", problem, "run `hf auth login`, or leave it out")
    if "hub_strategy" in given and args.hub_strategy != "end":
        problem = f"hub_strategy is {args.hub_strategy.value}, but only the final model is pushed"
        yield Finding("hub_strategy", problem, "set it to end, or leave it out")


def trackers(stage: str) -> list[str]:
    """The names that `report_to` takes: those of transformers; in star.py, which logs through accelerate, only shared ones."""
    from accelerate.utils import LoggerType
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    return [name for name in INTEGRATION_TO_CALLBACK if stage != "star" or name in {*LoggerType.list()}]


def check_trackers(args, stage: str) -> Iterator[Finding]:
    """Trackers in `report_to` that are unknown or not installed."""
    from transformers import integrations

    known = trackers(stage)
    for name in args.report_to:
        installed = getattr(integrations, f"is_{name}_available", None)
        if name in known or name == "kubeflow":  # which transformers adds to the runs in its pods
            if installed and not installed():
                yield Finding("report_to", f"report_to: {name} is not installed", f"run `pip install {name}`, or leave it out")
        elif name in trackers("sft"):
            problem = f"report_to: star.py logs through accelerate, which has no {name}"
            yield Finding("report_to", problem, f"use {', '.join(known)} or none")
        else:
            problem = f"report_to: '{name}' is unknown{nearest(name, known)}"
            yield Finding("report_to", problem, f"use {', '.join(known)} or none")


def choose_push(weight_push: str | None, gpu: bool) -> str:
    """How weights reach servers, `nccl` or `files`, given the config's `weight_push`."""
    return weight_push or ("nccl" if gpu else "files")


def through_files(args, environment: Environment) -> bool:
    """Whether rollouts come from servers that load weights from files."""
    return args.vllm_mode == "server" and choose_push(args.weight_push, environment.gpu) == "files"


def check_source(args, environment: Environment) -> Iterator[Finding]:
    """Rollouts that cannot work: without vLLM, from URLs that are none, or with a weight push that does not fit.

    Args:
        args: the config with the fields of `arguments.Rollouts`.
        environment: the planned environment, or this one.
    """
    weight_push = args.weight_push
    if not args.use_vllm:
        if args.vllm_mode == "server":
            yield Finding("use_vllm", "use_vllm is false, but vllm_mode is server", "leave out one of them")
        elif weight_push:
            problem = f"weight_push is {weight_push}, but with use_vllm false the model samples itself"
            yield Finding("weight_push", problem, "leave it out")
        return
    if not through_files(args, environment) and not importlib.util.find_spec("vllm"):
        fix = "install it with `make install` (CPU) or `pip install -e .[gpu]`, or set use_vllm to false, which is slower"
        yield Finding("use_vllm", "use_vllm is true, but vLLM is not installed", fix)
    if args.vllm_mode == "colocate":
        if weight_push:
            yield Finding("weight_push", f"weight_push is {weight_push}, but there is no server", "add vllm_mode: server")
        return
    try:
        check_urls(args.server_urls, "vllm_server_base_url")
    except InputError as error:
        yield Finding("vllm_server_base_url", error.problem, error.fix)
    if weight_push == "nccl" and not environment.gpu:
        yield Finding("weight_push", "weight_push is nccl, which needs GPUs", "use files")
    if choose_push(weight_push, environment.gpu) == "nccl" and len(args.server_urls) > 1:
        problem = f"weight_push is nccl, which reaches one server, but there are {len(args.server_urls)}"
        yield Finding("weight_push", problem, "use files")


def check_merging(sampling, model_args, environment: Environment) -> Iterator[Finding]:
    """An adapter that TRL merges into 16-bit weights at each push, which loses small updates and lets the frozen weights drift.

    Args:
        sampling: the config with the fields of `arguments.Rollouts`.
        model_args: TRL's ModelConfig.
        environment: the planned environment, or this one.
    """
    merges = model_args.use_peft and sampling.use_vllm and not through_files(sampling, environment)
    if merges and model_args.dtype in ("bfloat16", "float16"):
        problem = f"dtype is {model_args.dtype} and use_peft true: merging the adapter for vLLM rounds the weights at each step"
        yield Finding("dtype", problem, "use dtype float32 (with bf16 true)", "note")


def check_async(args, async_steps: int, environment: Environment) -> Iterator[Finding]:
    """Asynchronous rollouts without a server that takes files, or whose age nothing corrects."""
    if async_steps not in (0, 1):
        yield Finding("async_steps", f"async_steps is {async_steps}", "set it to 0 or 1")
    elif async_steps and not through_files(args, environment):
        problem = "async_steps is 1, but rollouts come from the training process or its weights go through nccl"
        fix = "add vllm_mode: server and weight_push: files" + ("" if args.use_vllm else ", and leave out use_vllm")
        yield Finding("async_steps", problem, fix)
    elif async_steps and not args.vllm_importance_sampling_correction:
        problem = "async_steps is 1, but vllm_importance_sampling_correction is false: completions are one step old"
        yield Finding("async_steps", problem, "set it to true")
