"""The checks that every recipe runs before it loads a model, in their order; each recipe adds its own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_mix.errors import InputError
from data_mix.mixture_folder import check_folder, read_rows
from eval.generation import machine

machine.prepare()

from eval.generation.tokens import context_length, end_ids
from eval.model_folder import check_model_path
from recipes.training import config, models, processes
from recipes.training.checkpoints import atomic
from recipes.training.preflight import checks, memory
from recipes.training.preflight.environment import (
    Environment,
    check_disk,
    check_packages,
    check_processes,
    check_versions,
)
from recipes.training.preflight.findings import Findings
from recipes.training.preflight.memory import Memory


@dataclass
class Inputs:
    """What a run is made of, as far as it could be read; None where a finding says why not."""

    environment: Environment
    rows: list[dict] | None = None
    tokenizer: Any = None
    config: Any = None
    memory: Memory | None = None
    length: int | None = None  # of the longest prompt and a completion together, in tokens


def require(inspect: Callable[..., Inputs], *parts) -> Inputs:
    """What a recipe's own `inspect` could read; the run's folder is locked from then on.

    Raises:
        InputError: for the errors that were found, after printing the notes, or when another run has the folder.
    """
    found = Findings(fields=config.names_of(parts))
    inputs = inspect(found, *parts, Environment.here())
    found.raise_if_errors()
    args = parts[1]
    processes.claim(args.output_dir, lambda: _check_output_dir(*parts))
    return inputs


def inspect(found: Findings, trains: str, recipe, args, model_args, environment: Environment) -> Inputs:
    """The checks that all recipes share: runtime environment, output folder, mixture, model, memory and disk."""
    for check, where in (
        (check_versions, "versions"),
        (lambda: check_packages(args), "report_to"),
        (lambda: check_processes(args, model_args, trains, environment), "processes"),
        (lambda: _check_output_dir(recipe, args, model_args), "output_dir"),
        (lambda: checks.check_training(args, model_args), "max_steps"),
        (lambda: checks.check_held_out(recipe, environment.processes), "heldout_problems"),
    ):
        with found.of(where):
            check()
    inputs = Inputs(environment)
    with found.of("mixture"):
        check_folder(recipe.mixture)
        inputs.rows = read_rows(recipe.mixture, "train")
    _read_model(found, trains, recipe, args, model_args, inputs)
    if inputs.tokenizer and inputs.rows:
        before = len(found.all)
        with found.of("tokenizer"):
            checks.check_tokenizer(inputs.tokenizer, inputs.config, inputs.rows)
        if len(found.all) > before:
            inputs.tokenizer = None  # nothing more can be learned with it
        elif inputs.tokenizer.pad_token_id in end_ids(inputs.tokenizer):
            found.note(
                "pad_token",
                "the tokenizer pads with its end token, having no other to spare; TRL masks by position, so this works",
            )
    if inputs.config:
        _weigh(found, args, model_args, inputs)
    if checks.loses_updates(args, model_args):
        found.note(
            "dtype",
            f"dtype is bfloat16 and learning_rate {args.learning_rate}: updates under 0.4% of a weight are lost; "
            "use dtype float32 with bf16 true",
        )
    return inputs


def _check_output_dir(recipe, args, model_args) -> None:
    config.check_output_dir(args.output_dir, recipe, args, model_args)
    atomic.check(args.output_dir, args.save_only_model)


def _read_model(found: Findings, trains: str, recipe, args, model_args, inputs: Inputs) -> None:
    from transformers import AutoConfig

    path = model_args.model_name_or_path
    if path:
        with found.of("model_name_or_path"):
            if trains == "sft":
                made_by = "give a folder with config.json or a hub id (recipes/export_smollm2.py exports a small real one)"
            else:
                made_by = (
                    f"`accelerate launch recipes/sft.py --output_dir {path}` makes the default's; another needs its --config"
                )
            check_model_path(path, "model_name_or_path", made_by)
            checks.check_cached(path)
            tokenizer = models.load_tokenizer(path)
            inputs.tokenizer, inputs.config = tokenizer, AutoConfig.from_pretrained(path)
    elif isinstance(getattr(recipe, "model_config", None), dict) and recipe.tokenizer_characters:
        with found.of("model_config"):
            tokenizer = models.character_tokenizer(recipe.tokenizer_characters)
            inputs.tokenizer, inputs.config = tokenizer, models.make_config(recipe.model_config, tokenizer)
    template = getattr(args, "chat_template_path", None)  # TRL reads it too, but later
    with found.of("chat_template_path"):
        if template and not Path(template).is_file():
            raise InputError(f"chat_template_path {template}: no such file; give a .jinja file")
        if template and inputs.tokenizer:
            inputs.tokenizer.chat_template = Path(template).read_text(encoding="utf-8")


def _weigh(found: Findings, args, model_args, inputs: Inputs) -> None:
    """Parameters, memory and disk."""
    dtype = models.weight_dtype(inputs.config, model_args)
    with found.of("model_config"):
        try:
            model = memory.empty_model(inputs.config)
        except (ValueError, KeyError) as error:
            raise InputError(f"model_config: {' '.join(str(error).split())[:200]}; name a causal language model") from None
        with found.of("use_peft"):
            checks.check_adapter(model_args, inputs.config, model)
            parameters, trained = memory.count_parameters(model, model_args)
            inputs.memory = memory.estimate(parameters, trained, dtype, args.bf16 or args.fp16, inputs.environment)
            size = memory.BYTES[dtype]
            saves = args.save_strategy != "no"
            checkpoint = (trained if model_args.use_peft else parameters) * size + trained * 2 * size
            # the model twice: star.py keeps the last round's checkpoint beside it
            need = 2 * parameters * size + saves * (args.save_total_limit or 1) * checkpoint
            with found.of("disk"):
                check_disk(args.output_dir, need)


def inspect_rollouts(found: Findings, rewards: list[str], sampling, args, model_args, inputs: Inputs) -> None:
    """What the recipes with rollouts have in common; `sampling` has max_completion_length and the fields of the engine."""
    with found.of("rewards"):
        checks.check_rewards(rewards)
        if inputs.rows:
            checks.check_golds(rewards, inputs.rows)
    with found.of("model_name_or_path"):
        if model_args.model_name_or_path is None:
            raise InputError("model_name_or_path is missing; give the SFT checkpoint to start from")
    with found.of("temperature"):
        checks.check_sampling(sampling, inputs.environment)
    if inputs.rows and inputs.tokenizer:
        with found.of("vllm_max_model_length"):
            context = context_length(inputs.config)
            inputs.length = checks.check_lengths(inputs.rows, inputs.tokenizer, sampling, context)
        cut, of = checks.count_cut(inputs.rows, inputs.tokenizer, sampling.max_completion_length)
        if cut:
            found.note(
                "max_completion_length",
                f"max_completion_length is {sampling.max_completion_length}, and {cut} of {of} rows in long form do not fit; "
                "raise it",
            )
    if inputs.memory and inputs.length and getattr(sampling, "vllm_mode", "colocate") == "colocate":
        length = sampling.vllm_max_model_length or inputs.length
        with found.of("vllm_gpu_memory_utilization"):
            dtype, share = models.compute_dtype(args, model_args), sampling.vllm_gpu_memory_utilization
            dtype = dtype if dtype in memory.BYTES else models.weight_dtype(inputs.config, model_args)
            batch = args.per_device_train_batch_size
            inputs.memory = memory.add_vllm(inputs.memory, inputs.config, dtype, length, batch, share, inputs.environment)
    check_memory(found, inputs)


def check_memory(found: Findings, inputs: Inputs) -> None:
    """Compares what a process needs, the engine included, with what it has."""
    if inputs.memory:
        with found.of("memory"):
            memory.check(inputs.memory, inputs.environment)
