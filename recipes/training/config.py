"""Reading a recipe's config: TRL's `TrlParser`, with strict fields, and every mistake of the user as one line, exit code 2."""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_mix.errors import InputError, exit_code, nearest
from data_mix.folder import is_taken
from data_mix.mapping import read_mapping


def run_recipe(main: Callable[..., None], dataclass_types: tuple[type, ...], default_config: str) -> None:
    """Parses the command line (and `--config FILE.yaml`, the embedded default without it) and runs `main` on the result.

    An InputError, raised by the parsing or by `main`'s own checks, is printed as one line and ends with exit code 2.
    """
    try:
        sys.exit(exit_code(lambda: main(*parse(dataclass_types, sys.argv[1:], default_config))))
    except KeyboardInterrupt:
        print("interrupted; checkpoints written so far are kept", file=sys.stderr)
        sys.exit(130)


def parse(dataclass_types: tuple[type, ...], argv: list[str], default_config: str) -> tuple:
    """Instances of the dataclasses from `--config` and the fields on the command line, which win."""
    from trl import TrlParser

    known = [f.name for d in dataclass_types for f in dataclasses.fields(d) if f.init]
    argv = [word for argument in argv for word in (argument.split("=", 1) if argument.startswith("--") else [argument])]
    argv = argv if "--config" in argv else ["--config", default_config, *argv]
    path = argv[argv.index("--config") + 1] if argv[-1] != "--config" else ""
    read_mapping(path, [*known, "env"])
    for argument in argv:
        name = argument.removeprefix("--").replace("-", "_").removeprefix("no_")
        if argument.startswith("--") and name not in (*known, "config", "help"):
            raise InputError(f"{argument}: unknown field{nearest(name, known)}")
    try:
        return TrlParser(dataclass_types).parse_args_and_config(argv)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from None


def parse_mapping(text: str, what: str) -> dict[str, Any]:
    """The mapping that a command-line argument spells out in JSON (or YAML's short form)."""
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = None
    if not isinstance(value, dict):
        raise InputError(f'{what} {text}: must be a mapping such as {{"model_type": "llama"}}')
    return value


def check_output_dir(output_dir: str) -> None:
    """Raises InputError when `output_dir` holds anything already: a run never writes into another one."""
    if is_taken(output_dir):
        raise InputError(f"output_dir {output_dir} holds another run already; give another --output_dir, or remove it first")


def dump(*parts: Any) -> str:
    """Every field of the run's config as JSON."""
    fields = {k: v for part in parts for k, v in dataclasses.asdict(part).items() if not k.endswith("_token")}
    return json.dumps(fields, indent=2, default=str)


def save_config(output_dir: str, *parts: Any) -> None:
    """Writes the run's config to `recipe.json`, so that a run folder says how it was made."""
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    (Path(output_dir) / "recipe.json").write_text(dump(*parts) + "\n", encoding="utf-8")
