"""The checks that recipes share, in order. Each recipe's `inspect` calls them and adds its own."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data_mix.errors import InputError
from data_mix.mixture_folder import read_rows
from data_mix.plan import pick
from eval.generation import machine

machine.prepare()

from eval.generation.engines import BATCH, VLLM_BATCH
from eval.generation.tokens import context_length, encode_prompts
from eval.model_folder import check_model_path, fix_date, load_config
from recipes.training import config, models, processes
from recipes.training.checkpoints import atomic
from recipes.training.preflight import checks, fields, memory, services
from recipes.training.preflight.environment import Environment, check_disk, check_processes, check_sharding, check_versions
from recipes.training.preflight.findings import Finding, raise_if_errors
from recipes.training.preflight.memory import Memory
from recipes.training.trainers.batching import PART_TOKENS
from recipes.training.trainers.filters import Filters


@dataclass
class Inputs:
    """What the checks have read of a run; None if a finding says why it could not be read.

    Attributes:
        environment: its processes.
        rows: the mixture's training rows.
        heldout: the test problems that the run is evaluated on.
        tokenizer: the model's.
        config: the model's.
        memory: what a process needs.
        length: tokens of the longest prompt plus a completion.
    """

    environment: Environment
    rows: list[dict] | None = None
    heldout: list[dict] = field(default_factory=list)
    tokenizer: Any = None
    config: Any = None
    memory: Memory | None = None
    length: int | None = None


def prepare_run(inspect: Callable[..., Iterator[Finding]], recipe, args, model_args) -> Inputs:
    """Runs a recipe's checks, locks the output folder, and returns what the checks have read. Exits if there is nothing to do.

    Raises:
        InputError: for the errors found, after printing the notes, or if another run holds the folder.
    """
    inputs = Inputs(Environment.here())
    raise_if_errors(list(inspect(inputs, recipe, args, model_args)))
    run = recipe, args, model_args, inputs.environment.launch
    if config.check_output_dir(args.output_dir, *run):
        print(f"{args.output_dir}: finished with this config already; nothing to do")
        sys.exit(0)
    processes.claim(args.output_dir, lambda: _check_output_dir(*run))
    return inputs


def inspect(inputs: Inputs, stage: str, recipe, args, model_args) -> Iterator[Finding]:
    """Checks of every recipe: runtime environment, output folder, mixture, model, memory and disk; fills `inputs`.

    Args:
        inputs: with `environment` set.
        stage: sft, grpo or star.
        recipe: the recipe's own config.
        args: TRL's SFTConfig or GRPOConfig.
        model_args: TRL's ModelConfig.
    """
    yield from check_versions()
    yield from check_processes(args, stage, inputs.environment)
    try:
        _check_output_dir(recipe, args, model_args, inputs.environment.launch)
    except InputError as error:
        yield Finding("output_dir", error.problem, error.fix)
    yield from fields.check_fixed(stage, args, model_args)
    yield from checks.check_training(args, model_args, inputs.environment.gpu)
    yield from check_sharding(args, model_args, inputs.environment)
    yield from services.check_hub(args, recipe.given)
    yield from services.check_trackers(args, stage)
    yield from checks.check_heldout(recipe, inputs.environment.processes)
    try:
        inputs.rows = read_rows(recipe.mixture, "train")
        inputs.heldout = read_heldout(recipe)
    except InputError as error:
        yield Finding("mixture", error.problem, error.fix)
    if 0 < len(inputs.heldout) < inputs.environment.processes:
        problem = f"the mixture has {len(inputs.heldout)} test problems for {inputs.environment.processes} processes"
        yield Finding("heldout_problems", problem, "build it with a larger n_test, or set heldout_problems to 0")
    yield from _read_model(inputs, stage, recipe, args, model_args)
    if inputs.tokenizer and inputs.rows:
        findings = list(checks.check_tokenizer(inputs.tokenizer, inputs.config, inputs.rows))
        yield from findings
        if findings:
            inputs.tokenizer = None  # the checks that follow rely on its tokens
    if inputs.config:
        if stage == "sft":
            name = "model_name_or_path" if model_args.model_name_or_path else "model_config"
            yield from checks.check_head_size(inputs.config, name, "note")
        yield from _check_size(inputs, args, model_args)


def read_heldout(recipe) -> list[dict]:
    """The test problems that the run is evaluated on."""
    return pick(read_rows(recipe.mixture, "test"), recipe.heldout_problems) if recipe.heldout_problems else []


def _check_output_dir(recipe, args, *others) -> None:
    if not config.check_output_dir(args.output_dir, recipe, args, *others):
        atomic.check(args.output_dir, args.save_only_model)


def _read_model(inputs: Inputs, stage: str, recipe, args, model_args) -> Iterator[Finding]:
    """Reads the tokenizer and the model's config."""
    path = model_args.model_name_or_path
    try:
        if path:
            fix = f"train it with `accelerate launch recipes/sft.py --output_dir {path}` (and its study's --config)"
            if stage == "sft":
                fix = "give a folder with config.json or a hub id (recipes/export_smollm2.py exports a small real one)"
            check_model_path(path, "model_name_or_path", fix)
            tokenizer = models.load_tokenizer(path)
            inputs.tokenizer, inputs.config = tokenizer, load_config(path)
        elif getattr(recipe, "model_config", None) and recipe.tokenizer_characters:
            characters = recipe.tokenizer_characters
            if characters == "auto":
                if not inputs.rows:  # the mixture cannot be read, which is reported already
                    return
                characters = models.characters_of([*inputs.rows, *read_rows(recipe.mixture, "test")])
            tokenizer = models.character_tokenizer(characters)
            inputs.tokenizer, inputs.config = tokenizer, models.make_config(recipe.model_config, tokenizer)
    except InputError as error:
        yield Finding("model_name_or_path" if path else "model_config", error.problem, error.fix)
    template = getattr(args, "chat_template_path", None)  # TRL applies it too, but only once the model is loaded
    if template and not Path(template).is_file():
        yield Finding("chat_template_path", f"chat_template_path {template}: no such file", "give a .jinja file")
    elif template and inputs.tokenizer:
        inputs.tokenizer.chat_template = Path(template).read_text(encoding="utf-8")
        if fix_date(inputs.tokenizer.chat_template) != inputs.tokenizer.chat_template:
            problem = f"chat_template_path {template}: strftime_now writes today's date, so prompts would change overnight"
            yield Finding("chat_template_path", problem, "write a fixed date in it")


def _check_size(inputs: Inputs, args, model_args) -> Iterator[Finding]:
    """Checks the adapter, estimates the memory, and checks the disk."""
    dtype = models.weight_dtype(inputs.config, model_args)
    try:
        model = memory.empty_model(inputs.config)
    except Exception as error:  # whatever a size that is impossible raises
        problem = f"model_config: {' '.join(str(error).split())[:200]}"
        yield Finding("model_config", problem, "name a causal language model")
        return
    findings = list(checks.check_adapter(model_args, inputs.config, model))
    yield from findings
    if findings:
        return
    parameters, trained = memory.count_parameters(model, model_args)
    inputs.memory = memory.estimate(parameters, trained, dtype, args.bf16 or args.fp16, inputs.environment)
    if inputs.environment.offloads or args.optim not in memory.ADAMW:
        inputs.memory = replace(inputs.memory, at_most=True)
    if getattr(args, "beta", 0) and not model_args.use_peft:  # with an adapter, TRL takes the model without it
        inputs.memory = memory.add_reference(inputs.memory, dtype, inputs.environment)
    size = memory.BYTES[dtype]
    checkpoint = (trained if model_args.use_peft else parameters) * size + trained * 2 * size
    checkpoints = (args.save_strategy != "no") * (args.save_total_limit or 1)
    # the model twice: star.py keeps the last round's checkpoint beside it
    yield from check_disk(args.output_dir, 2 * parameters * size + checkpoints * checkpoint)


def inspect_rollouts(
    inputs: Inputs, rewards: list[str | dict], reward_weights: list[float] | None, sampling, args, model_args
) -> Iterator[Finding]:
    """Checks of the recipes with rollouts: rewards, sampling, lengths and the engine's memory; sets `inputs.length`.

    Args:
        inputs: as `inspect` has filled it.
        rewards: entries of the config's `rewards`.
        reward_weights: TRL's field; None if the entries have the weights.
        sampling: the config with max_completion_length and the engine's fields.
        args: TRL's SFTConfig or GRPOConfig.
        model_args: TRL's ModelConfig.
    """
    yield from checks.check_rewards(rewards, reward_weights, inputs, sampling.max_completion_length)
    if inputs.rows:
        yield from checks.check_golds(rewards, inputs.rows)
    if model_args.model_name_or_path is None:
        yield Finding("model_name_or_path", "model_name_or_path is missing", "give the SFT checkpoint to start from")
    yield from services.check_source(sampling, inputs.environment)
    yield from services.check_merging(sampling, model_args, inputs.environment)
    if inputs.config and sampling.use_vllm:
        yield from checks.check_head_size(inputs.config, "model_name_or_path", "error")
    yield from checks.check_sampling(sampling)
    if inputs.rows and inputs.tokenizer and sampling.max_completion_length:
        yield from _check_lengths(inputs, sampling)
    if inputs.length:
        off = {"top_k": 0, "top_p": 1.0, "min_p": None}  # of star.py, which has no filters
        filters = Filters(*(getattr(sampling, name, value) for name, value in off.items()))
        add_batch(inputs, inputs.length, sampling.max_completion_length, args, model_args, bool(filters))
    if inputs.memory and inputs.length and sampling.vllm_mode == "colocate":
        length = sampling.vllm_max_model_length or inputs.length
        batch = VLLM_BATCH if sampling.use_vllm else BATCH
        if sampling is args:
            batch = args.per_device_train_batch_size * args.steps_per_generation
        if not sampling.use_vllm:
            add_generation(inputs, length, batch, model_args)
        else:
            about = inputs.memory, inputs.config, models.compute_dtype(inputs.config, args, model_args), length
            try:
                inputs.memory = memory.add_vllm(*about, sampling, batch, inputs.environment)
            except InputError as error:
                yield Finding("vllm_gpu_memory_utilization", error.problem, error.fix)
    yield from check_memory(inputs)


def inspect_server(inputs: Inputs, stage: str, recipe, sampling, args, model_args) -> Iterator[Finding]:
    """Checks of `launch serve`: what a server needs of its run, the model and the lengths; sets `inputs.length`.

    Args:
        inputs: with `environment` set.
        stage: grpo or star.
        recipe: the recipe's own config.
        sampling: the config with the fields of `arguments.Rollouts`.
        args: TRL's SFTConfig or GRPOConfig.
        model_args: TRL's ModelConfig.
    """
    yield from check_versions()
    if model_args.model_name_or_path is None:
        yield Finding("model_name_or_path", "model_name_or_path is missing", "give the SFT checkpoint to start from")
        return
    if args.output_dir is None:
        yield Finding("output_dir", "output_dir is missing", "give the run's: token and weights are next to it")
    yield from services.check_source(sampling, inputs.environment)
    yield from _read_model(inputs, stage, recipe, args, model_args)
    if inputs.config:
        yield from checks.check_head_size(inputs.config, "model_name_or_path", "error")
    if sampling.vllm_max_model_length is None:
        try:
            inputs.rows, inputs.heldout = read_rows(recipe.mixture, "train"), read_heldout(recipe)
        except InputError as error:
            yield Finding("mixture", error.problem, f"{error.fix}, or set vllm_max_model_length")
        if inputs.rows and inputs.tokenizer:
            yield from _check_lengths(inputs, sampling)
    elif inputs.config:
        inputs.length, context = sampling.vllm_max_model_length, context_length(inputs.config)
        if inputs.length > context:
            problem = f"vllm_max_model_length is {inputs.length}, more than the model's context of {context}"
            yield Finding("vllm_max_model_length", problem, "lower it")


def _check_lengths(inputs: Inputs, sampling) -> Iterator[Finding]:
    """Compares the longest prompt plus max_completion_length with the context, and rows in long form with the latter."""
    prompts, limit = [row["prompt"] for row in [*inputs.rows, *inputs.heldout]], sampling.max_completion_length
    longest = max(map(len, encode_prompts(inputs.tokenizer, prompts)))
    context = context_length(inputs.config)
    available = min(context, sampling.vllm_max_model_length or context)
    if longest + limit > available:
        problem = (
            f"longest prompt ({longest} tokens) + max_completion_length ({limit}) is {longest + limit}, more than the context "
            f"of {available} (vllm_max_model_length, the model's own {context})"
        )
        yield Finding("vllm_max_model_length", problem, "shorten one or raise the other")
    else:
        inputs.length = longest + limit
    too_long, counted = checks.count_too_long(inputs.rows, inputs.tokenizer, limit)
    if too_long:
        problem = f"max_completion_length is {limit}: {too_long} of {counted} rows in long form do not fit"
        yield Finding("max_completion_length", problem, "raise it", "note")


def add_batch(inputs: Inputs, columns: int, predicted: int, args, model_args, filtered: bool = False) -> None:
    """Adds to `inputs.memory` that of a micro-batch whose longest row has `columns` tokens, of which `predicted` are scored."""
    if not inputs.memory:
        return
    import trl

    rows, here, dtype = args.per_device_train_batch_size, inputs.environment, models.weight_dtype(inputs.config, model_args)
    if isinstance(args, trl.SFTConfig) and not here.gpu and here.processes == 1 and here.sharding == "none":
        rows = min(rows, max(1, PART_TOKENS // columns))  # see trainers/sft.py
    inputs.memory = memory.add_batch(inputs.memory, inputs.config, (rows, columns, predicted), dtype, args, here, filtered)


def add_generation(inputs: Inputs, length: int, sequences: int, model_args) -> None:
    """Adds to `inputs.memory` that of generating so many sequences of `length` tokens through transformers."""
    if inputs.memory:
        dtype = models.weight_dtype(inputs.config, model_args)
        inputs.memory = memory.add_generation(inputs.memory, inputs.config, dtype, length, sequences, inputs.environment)


def check_memory(inputs: Inputs) -> Iterator[Finding]:
    """Compares what a process needs, the engine included, with what it has."""
    if inputs.memory:
        yield from memory.check(inputs.memory, inputs.environment)
