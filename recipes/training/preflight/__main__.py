"""`launch check`: the preflight checks of recipe and mixture configs, without loading a model.

    python -m launch check CONFIG.yaml ... [--recipe grpo] [--json]
        [--processes N --accelerate zero2 --gpu-memory GIB --gpu-tflops PEAK]

`recipe: grpo` in the config, or `--recipe grpo`, says which recipe it is for. A file with `sources` is a mixture's config.
Several configs are a pipeline, in the order in which they will run: what an earlier one writes may be missing.
"""

import argparse
import contextlib
import dataclasses
import importlib
import json
import os
import sys
from collections.abc import Iterator, Sequence

from data_mix.errors import InputError, exit_code, nearest
from data_mix.mapping import read_mapping
from recipes.training import config
from recipes.training.preflight.environment import GIB, SHARDINGS, Environment
from recipes.training.preflight.findings import Finding
from recipes.training.preflight.memory import Memory

RECIPES = ("sft", "grpo", "star")


def find_recipe(path: str) -> str:
    """The recipe that a config is for: its `recipe`, or `mixture` if it has `sources`.

    Raises:
        InputError: if it names no recipe, or cannot be read.
    """
    fields = read_mapping(path)
    if "grid" in fields:
        raise InputError(f"{path}: this is an ablation", f"check it with `python -m launch ablate {path} --dry-run`")
    if "recipe" not in fields and "sources" in fields:
        return "mixture"
    recipe = fields.get("recipe")
    if recipe not in RECIPES:
        problem = f"{path}: recipe is {recipe!r}{nearest(str(recipe), RECIPES)}" if recipe else f"{path}: no recipe is given"
        raise InputError(problem, "add `recipe: sft`, `grpo` or `star` to the file, or use --recipe")
    return recipe


def check_config(path: str, environment: Environment, recipe: str | None = None, model: str | None = None) -> tuple:
    """The findings about a config, the Memory that a process needs, and the run's Cost; None for what could not be estimated.

    Args:
        path: a YAML file.
        environment: the processes that will run it.
        recipe: sft, grpo, star or mixture; by default what the file says.
        model: stands in for the config's own.
    """
    try:
        recipe = recipe or find_recipe(path)
        if recipe == "mixture":
            from data_mix.mixture import Mixture
            from data_mix.mixture_config import load_config

            Mixture.from_config(load_config(path, []))
            return [], None, None
        module = importlib.import_module(f"recipes.{recipe}")
        words = ["--config", path, *(["--model_name_or_path", model] if model else [])]
        with _world_size(environment.processes):
            configs = config.parse(recipe, module.CONFIG_CLASSES, words)
    except InputError as error:
        return [Finding("config", error.problem.removeprefix(f"{path}: "), error.fix)], None, None
    if environment.gpu and not configs[0].given & {"bf16", "fp16"}:
        configs[1].bf16 = True  # the default on a GPU, whatever this machine has
    from recipes.training.preflight import cost
    from recipes.training.preflight.inspection import Inputs

    inputs = Inputs(environment)
    findings = list(module.inspect(inputs, *configs))
    return findings, inputs.memory, cost.estimate(recipe, inputs, *configs[:2])


@contextlib.contextmanager
def _world_size(processes: int) -> Iterator[None]:
    """Lets TRL's configs compute and check batch sizes for another number of processes than this one's launcher started."""
    from transformers import TrainingArguments

    here = TrainingArguments.world_size
    TrainingArguments.world_size = processes
    try:
        yield
    finally:
        TrainingArguments.world_size = here


def check_pipeline(paths: Sequence[str], environment: Environment, recipe: str | None = None) -> dict[str, tuple]:
    """The results of `check_config` by path. What an earlier config will write is no error if it is missing, but a note.

    A model that is missing is replaced by the one that its training starts from, which has the same size.
    """
    results, mixture, models, starts = {}, None, {}, {}
    for path in paths:
        fields = _read_fields(path)
        missing = {name: fields.get(name) for name in ("mixture", "model_name_or_path")}
        missing = {name: value for name, value in missing.items() if isinstance(value, str) and not os.path.exists(value)}
        model = missing.get("model_name_or_path")
        makers = {"mixture": mixture, "model_name_or_path": models.get(model)}
        start = starts.get(model) if model else None
        findings, memory, cost = check_config(path, environment, recipe, start)
        for number, finding in enumerate(findings):
            maker = makers.get(finding.field) if finding.field in missing else None
            if maker and not (start and finding.field == "model_name_or_path"):
                problem = f"{missing[finding.field]} does not exist yet"
                findings[number] = Finding(finding.field, problem, f"{maker} comes first; checked without it", "note")
        if start:
            fix = f"{models[model]} comes first; checked with {start}, which it starts from"
            findings.append(Finding("model_name_or_path", f"{model} does not exist yet", fix, "note"))
        results[path] = findings, memory, cost
        mixture = path if "sources" in fields else mixture
        models[fields.get("output_dir")] = path
        starts[fields.get("output_dir")] = start or fields.get("model_name_or_path")
    return results


def _read_fields(path: str) -> dict:
    """The fields of a config, {} if it cannot be read: `check_config` has reported that."""
    try:
        return read_mapping(path)
    except InputError:
        return {}


def main(argv: list[str] | None = None) -> int:
    """Checks the configs; returns 0 if none has an error, else 2."""
    parser = argparse.ArgumentParser(
        prog="python -m launch check", description="check recipe and mixture configs without loading a model"
    )
    parser.add_argument("configs", nargs="+", metavar="CONFIG.yaml")
    parser.add_argument("--recipe", choices=[*RECIPES, "mixture"], help="what the configs are for, if they do not say")
    parser.add_argument("--json", action="store_true", help="print findings and memory as JSON")
    parser.add_argument("--processes", type=int, metavar="N", help="number of training processes (this machine's)")
    parser.add_argument("--accelerate", choices=["ddp", *SHARDINGS[1:]], help="how they share the model")
    parser.add_argument("--gpu-memory", type=float, metavar="GIB", help="memory of each GPU (this machine's)")
    parser.add_argument("--gpu-tflops", type=float, metavar="PEAK", help="16-bit TFLOP/s of each GPU: also estimates hours")
    args = parser.parse_args(argv)
    environment = Environment.here()
    if args.processes:
        environment = dataclasses.replace(environment, processes=args.processes)
    if args.accelerate:
        environment = dataclasses.replace(environment, sharding="none" if args.accelerate == "ddp" else args.accelerate)
    if args.gpu_memory:
        environment = dataclasses.replace(environment, memory=int(args.gpu_memory * GIB), gpu=True)
    results: dict[str, tuple] = {}
    if status := exit_code(lambda: results.update(check_pipeline(args.configs, environment, args.recipe))):
        return status
    failed = [path for path, (findings, *_) in results.items() if any(finding.level == "error" for finding in findings)]
    if args.json:
        print(json.dumps({path: _as_json(*result) for path, result in results.items()}, indent=2))
        return 2 if failed else 0
    for path, (findings, memory, cost) in results.items():
        for finding in findings:
            print(f"{finding.level}: {path}: {finding}", file=sys.stderr)
        if path not in failed:
            print(f"{path}: passes" + (f" ({memory})" if memory else ""))
        if cost and path not in failed:
            print(f"{path}: about {cost}" + (cost.describe(args.gpu_tflops, environment.processes) if args.gpu_tflops else ""))
    return 2 if failed else 0


def _as_json(findings: list[Finding], memory: Memory | None, cost) -> dict:
    need = memory and {
        "parameters": memory.parameters,
        "trained": memory.trained,
        "bytes": memory.parts,
        "training": memory.training(),
        "generation": memory.generation(),
        "total": memory.total(),
    }
    computed = cost and dataclasses.asdict(cost)
    return {"findings": [dataclasses.asdict(finding) for finding in findings], "memory": need, "cost": computed}


if __name__ == "__main__":
    sys.exit(main())
