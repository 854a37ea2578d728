"""Recipe configs: YAML and command line to dataclasses through TRL's `TrlParser`, with strict fields; and recipe.json.

A YAML's `env:` sets environment variables of the process, which is as good as code: read a stranger's config before you run it.
"""

import dataclasses
import errno
import importlib
import json
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_mix import files, locks
from data_mix.errors import InputError, exit_code, nearest
from data_mix.mapping import read_mapping
from data_mix.mixture_folder import is_taken
from eval.model_folder import find_checkpoints
from recipes.training import processes, values
from recipes.training.errors import TrainingError
from recipes.training.patches.accelerate import shard_on_cpu
from recipes.training.patches.torch import exit_process

RECIPE, MODEL = "recipe.json", "model.safetensors"
SECRETS = ("hub_token", "push_to_hub_token")
# Raising one of these extends a run.
LENGTH_FIELDS = ("max_steps", "num_train_epochs", "rounds")
# How a run was launched; older runs did not record it.
LAUNCH_FIELDS = ("processes", "sharding")
# Fields that say where a run is or what it prints, not what it computes: on another node or port it is still the same run.
LOCATION_FIELDS = ("output_dir", "verbose", "vllm_server_base_url", "vllm_server_host", "vllm_server_port", "vllm_group_port")
LOCATION_FIELDS += ("ddp_backend",)  # follows from the number of processes


def classes_of(recipe: str) -> tuple[type, ...]:
    """The config classes of a recipe: its own fields, those of TRL's trainer, and those of the model."""
    return importlib.import_module(f"recipes.{recipe}").CONFIG_CLASSES


def run_recipe(recipe: str, main: Callable[..., None], config_classes: tuple[type, ...]) -> None:
    """Parses the command line, with recipes/parity/{recipe}.yaml if it has no `--config`, and runs `main` on the configs.

    An InputError is printed as one line and ends the process with exit code 2, a TrainingError with 1.
    """
    try:
        status = exit_code(lambda: main(*parse(recipe, config_classes, sys.argv[1:])))
    except SystemExit as end:  # graceful shutdown
        status = end.code
    except KeyboardInterrupt:
        print("interrupted; checkpoints written so far are kept", file=sys.stderr)
        sys.exit(130)
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        if not is_disk_full(error):
            raise
        print(
            f"error: the disk is full ({error}); the last complete checkpoint is kept, and the same command resumes from it",
            file=sys.stderr,
        )
        sys.exit(2)
    exit_process(status)


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error or one of its causes reports a full disk, in the words of Python, safetensors or torch's archives."""
    while error is not None:
        text = str(error)
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in text or "inline_container" in text:
            return True
        error = error.__cause__ or error.__context__
    return False


def parse(recipe: str, config_classes: tuple[type, ...], argv: list[str]) -> tuple:
    """Instances of the config classes from the YAML file and the command line, which takes precedence. Sets the YAML's `env:`.

    The first instance gets an attribute `given`, with the names of the fields that the user has set in either.

    `TrlParser.parse_args_and_config` would read the file itself, without its `base`.

    Raises:
        InputError: for an unknown field, a value that a config class rejects, or a config of another recipe.
    """
    parser, fields, argv = _read_command(recipe, config_classes, argv)
    processes.prepare_processes(parser)
    os.environ.update({name: str(value) for name, value in fields.pop("env", {}).items()})
    given = _check(parser, fields, config_classes, argv)
    try:
        configs = parser.parse_args_into_dataclasses(argv)
        configs[0].given = frozenset([*fields, *_fields_of(argv)])
        shard_on_cpu()
        return configs
    except (ValueError, TypeError, ArithmeticError) as error:
        raise InputError(values.name_choice(" ".join(str(error).split()), given)) from None


def parse_fields(recipe: str, config_classes: tuple[type, ...], argv: list[str]) -> dict[str, Any]:
    """The fields as `parse` reads them, by name, without the classes' own checks: those look for GPUs. Sets no `env:`.

    Raises:
        InputError: for an unknown field, a value of the wrong type, or a config of another recipe.
    """
    parser, fields, argv = _read_command(recipe, config_classes, argv)
    return _check(parser, fields, config_classes, argv)


def _check(parser, fields: dict, config_classes: tuple[type, ...], argv: list[str]) -> dict[str, Any]:
    """The values of all fields; raises InputError for one that must not be."""
    values.check_texts(fields, config_classes)
    parser.set_defaults_with_config(**fields)
    read = vars(parser.parse_args(argv))
    values.check(read)
    return read


def split_config(recipe: str, argv: list[str]) -> tuple[str, list[str]]:
    """The path after `--config`, recipes/parity/{recipe}.yaml by default, and the other words, `--field=value` as two."""
    argv = [word for argument in argv for word in (argument.split("=", 1) if argument.startswith("--") else [argument])]
    if "--config" not in argv:
        return str(Path(__file__).parents[1] / "parity" / f"{recipe}.yaml"), argv
    place = argv.index("--config")
    return argv[place + 1] if argv[place + 1 :] else "", argv[:place] + argv[place + 2 :]


def _read_command(recipe: str, config_classes: tuple[type, ...], argv: list[str]) -> tuple[Any, dict, list[str]]:
    """The parser, the fields of the config, and the command line without `--config`; raises for unknown fields."""
    from trl import TrlParser

    known = [f.name for config_class in config_classes for f in dataclasses.fields(config_class) if f.init]
    path, argv = split_config(recipe, argv)
    given = read_mapping(path).get("recipe", recipe)
    if given != recipe:  # checked first: the other recipe's fields are unknown here
        raise InputError(f"{path}: `recipe: {given}` is not for recipes/{recipe}.py", f"use a config with `recipe: {recipe}`")
    fields = read_mapping(path, [*known, "env", "recipe"])
    fields.pop("recipe", None)
    if "verbose" in fields:  # decided before the libraries are imported, and so before the file is read
        raise InputError(f"{path}: verbose does not work in a file", "give --verbose on the command line")
    if not isinstance(fields.get("env", {}), dict):
        raise InputError(f"{path}: env is {fields['env']!r}", "it must be a mapping of environment variables")
    for name in fields.get("env", {}):
        if not re.fullmatch(r"[A-Za-z_]\w*", str(name), re.ASCII):
            raise InputError(f"{path}: env: {name!r} is not the name of an environment variable", "correct it")
    for name in _fields_of(argv):
        if name not in (*known, "help"):
            raise InputError(f"--{name}: unknown field{nearest(name, known)}")
    parser = TrlParser(config_classes)
    parser.error = _raise_input_error
    return parser, fields, argv


def _fields_of(argv: list[str]) -> list[str]:
    """The fields that a command line sets."""
    return [argument.removeprefix("--").replace("-", "_").removeprefix("no_") for argument in argv if argument.startswith("--")]


def _raise_input_error(message: str) -> None:
    """argparse's message about `--max_steps/--max-steps`, as one about `max_steps`."""
    raise InputError(re.sub(r"^argument --(\w+)(/[\w-]+)*", r"\1", message))


def check_output_dir(output_dir: str, *configs: Any) -> bool:
    """Whether the folder holds this very run, finished.

    Raises:
        InputError: if the folder holds something else. Only the same run is resumed there, or extended.
    """
    folder = Path(output_dir)
    recorded = folder / RECIPE
    if not is_taken(output_dir) or folder.is_dir() and all(map(_is_leftover, folder.iterdir())):
        return False
    fix = "give another --output_dir, or remove it first"
    if not recorded.is_file():
        raise InputError(f"output_dir {output_dir} holds another run already", fix)
    try:
        before, now = json.loads(recorded.read_text(encoding="utf-8")), json.loads(dump(*configs))
    except ValueError:
        raise InputError(f"output_dir {output_dir} holds a run whose {RECIPE} cannot be read", fix) from None
    before = {name: now[name] for name in LAUNCH_FIELDS if name in now} | before
    changed = [name for name in now if before.get(name) != now[name] and name not in LOCATION_FIELDS]
    extended = [name for name in changed if name in LENGTH_FIELDS and now[name] > before.get(name, math.inf) > 0]
    for name in changed:
        if name not in extended:
            difference = f"{name} differs: {before.get(name)!r} -> {now[name]!r}"
            raise InputError(f"output_dir {output_dir} holds a run whose {difference}", fix)
    finished = (folder / MODEL).exists()
    if extended and finished and not find_checkpoints(output_dir):
        problem = (
            f"output_dir {output_dir} holds a finished run without a checkpoint, so a larger {extended[0]} cannot extend it"
        )
        raise InputError(problem, f"{fix}; with save_strategy steps it could be")
    return finished and not extended


def _is_leftover(path: Path) -> bool:
    """Whether a run that was killed while writing its first file, recipe.json, leaves this behind."""
    return path.name == locks.NAME or path.match(f".{RECIPE}.*.part")


def dump(*configs: Any) -> str:
    """All fields of the configs as JSON, without access tokens."""
    fields = {k: v for config in configs for k, v in dataclasses.asdict(config).items() if k not in SECRETS}
    return json.dumps(fields, indent=2, default=str)


def save_config(output_dir: str, *configs: Any) -> None:
    """Writes the config of a run that starts to `recipe.json` in its output folder.

    Removes the model of a finished run that is extended, which would mark the longer run as finished. Its checkpoint stays.
    """
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).unlink(missing_ok=True)
    files.write_text(folder / RECIPE, dump(*configs) + "\n")
