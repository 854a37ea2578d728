"""`launch check`: what is known to be wrong with configs before a model is loaded.

    python -m recipes.training.preflight CONFIG.yaml ... [--json] [--processes N --accelerate zero2 --gpu-memory GIB]

A config is checked by the recipe that it is named after (grpo.yaml: recipes/grpo.py), a mixture.yaml by its sources.
"""

import argparse
import dataclasses
import importlib
import json
import sys
from pathlib import Path

from data_mix.errors import InputError
from recipes.training import config
from recipes.training.preflight.environment import GIB, SHARDINGS, Environment
from recipes.training.preflight.findings import Finding, Findings
from recipes.training.preflight.memory import Memory

RECIPES = ("sft", "grpo", "star")


def check_config(path: str, environment: Environment) -> tuple[list[Finding], Memory | None]:
    """The findings about one config, and what it needs."""
    stem = Path(path).stem
    found = Findings()
    inputs = None
    with found.of("config"):
        if stem == "mixture":
            from data_mix.mixture import Mixture
            from data_mix.mixture_config import load_config

            Mixture.from_config(load_config(path, []))
        elif stem not in RECIPES:
            known = ", ".join(f"{name}.yaml" for name in ("mixture", *RECIPES))
            raise InputError(f"{path}: no recipe of that name; a config is named after its recipe: {known}")
        else:
            recipe = importlib.import_module(f"recipes.{stem}")
            parts = config.parse(recipe.PARTS, ["--config", path], path)
            found.fields = config.names_of(parts)
            inputs = recipe.inspect(found, *parts, environment)
    return found.all, inputs and inputs.memory


def main(argv: list[str] | None = None) -> int:
    """Checks the configs; 0 when none has an error, else 2."""
    parser = argparse.ArgumentParser(
        prog="python -m launch check", description="check configs of recipes without loading a model"
    )
    parser.add_argument("configs", nargs="+", metavar="CONFIG.yaml")
    parser.add_argument("--json", action="store_true", help="print findings and memory as JSON")
    parser.add_argument("--processes", type=int, metavar="N", help="that will train; this machine's if not given")
    parser.add_argument("--accelerate", choices=["ddp", *SHARDINGS[1:]], help="how they will share the model")
    parser.add_argument("--gpu-memory", type=float, metavar="GIB", help="of the GPUs that they will have")
    args = parser.parse_args(argv)
    environment = Environment.here()
    if args.processes:
        environment = dataclasses.replace(environment, processes=args.processes)
    if args.accelerate:
        environment = dataclasses.replace(environment, sharding="none" if args.accelerate == "ddp" else args.accelerate)
    if args.gpu_memory:
        environment = dataclasses.replace(environment, memory=int(args.gpu_memory * GIB), gpu=True)
    results = {path: check_config(path, environment) for path in args.configs}
    failed = any(one.level == "error" for found, _ in results.values() for one in found)
    if args.json:
        report = {
            path: {
                "findings": [dataclasses.asdict(one) for one in found],
                "memory": need
                and {"parameters": need.parameters, "trained": need.trained, "bytes": need.parts, "total": need.total()},
            }
            for path, (found, need) in results.items()
        }
        print(json.dumps(report, indent=2))
        return 2 if failed else 0
    for path, (found, need) in results.items():
        errors = [one for one in found if one.level == "error"]
        for one in found:
            print(f"{one.level}: {path}: {one}", file=sys.stderr)
        if not errors:
            print(f"{path}: passes" + (f" ({need})" if need else ""))
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
