"""Reading a recipe's config: TRL's `TrlParser`, with strict fields, and every mistake of the user as one line, exit code 2.

A YAML's `env:` sets environment variables of the process, which is as good as code: read a stranger's config before you run it.
"""

import dataclasses
import errno
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_mix import files, locks
from data_mix.errors import InputError, exit_code, nearest
from data_mix.mapping import read_mapping
from data_mix.mixture_folder import is_taken
from recipes.training import processes
from recipes.training.patches.accelerate import shard_on_cpu

RECIPE = "recipe.json"
# Fields that say where a run is, and not what: another node, another port, and it is still the same run.
PLACES = ("output_dir", "vllm_server_base_url", "vllm_server_host", "vllm_server_port", "vllm_group_port")


def hurry_help() -> None:
    """For `--help` alone: keeps transformers from importing peft, which takes as long as all the rest of starting."""
    if {"-h", "--help"} & set(sys.argv):
        sys.modules["peft"] = None  # Python's mark for a package that is not there


def run_recipe(main: Callable[..., None], dataclass_types: tuple[type, ...], default_config: str) -> None:
    """Parses the command line (and `--config FILE.yaml`, the embedded default without it) and runs `main` on the result.

    An InputError, raised by the parsing or by `main`'s own checks, is printed as one line and ends with exit code 2.
    """
    try:
        status = exit_code(lambda: main(*parse(dataclass_types, sys.argv[1:], default_config)))
    except SystemExit as end:  # asked to end
        status = end.code
    except KeyboardInterrupt:
        print("interrupted; checkpoints written so far are kept", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if not is_disk_full(error):
            raise
        print(
            f"error: the disk is full ({error}); the last complete checkpoint is kept, and the same command resumes from it",
            file=sys.stderr,
        )
        sys.exit(2)
    processes.end(status)


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is that of a full disk, as Python, safetensors and torch's archives say it."""
    while error is not None:
        said = str(error)
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in said or "inline_container" in said:
            return True
        error = error.__cause__ or error.__context__
    return False


def parse(dataclass_types: tuple[type, ...], argv: list[str], default_config: str) -> tuple:
    """Instances of the dataclasses from `--config` and the fields on the command line, which win."""
    parser, path, argv = _read_command(dataclass_types, argv, default_config)
    processes.prepare_processes(parser)
    try:
        parts = parser.parse_args_and_config(["--config", path, *argv])
        shard_on_cpu()
        return parts
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from None


def parse_fields(dataclass_types: tuple[type, ...], argv: list[str], default_config: str) -> dict[str, Any]:
    """The fields as `parse` reads them, by name, without the dataclasses' own checks: those look for GPUs. Sets no `env:`.

    Raises:
        InputError: for an unknown field, or a value of the wrong type.
    """
    parser, path, argv = _read_command(dataclass_types, argv, default_config)
    parser.set_defaults_with_config(**{name: value for name, value in read_mapping(path).items() if name != "env"})
    return vars(parser.parse_args(argv))


def _read_command(dataclass_types: tuple[type, ...], argv: list[str], default_config: str) -> tuple[Any, str, list[str]]:
    """A parser of the fields, the config's path, and the other arguments. Unknown fields in either are refused."""
    from trl import TrlParser

    known = [f.name for d in dataclass_types for f in dataclasses.fields(d) if f.init]
    argv = [word for argument in argv for word in (argument.split("=", 1) if argument.startswith("--") else [argument])]
    path = default_config
    if "--config" in argv:
        place = argv.index("--config")
        path = argv[place + 1] if argv[place + 1 :] else ""
        argv = argv[:place] + argv[place + 2 :]
    read_mapping(path, [*known, "env"])
    for argument in argv:
        name = argument.removeprefix("--").replace("-", "_").removeprefix("no_")
        if argument.startswith("--") and name not in (*known, "help"):
            raise InputError(f"{argument}: unknown field{nearest(name, known)}")
    parser = TrlParser(dataclass_types)
    parser.error = _refuse
    return parser, path, argv


def _refuse(message: str) -> None:
    raise InputError(message.removeprefix("argument "))


def names_of(parts: tuple) -> set[str]:
    """The fields of a parsed config."""
    return {f.name for part in parts for f in dataclasses.fields(part)}


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


def check_output_dir(output_dir: str, *parts: Any) -> None:
    """Raises InputError when the folder holds a finished run, or one of another config: only the same run is resumed in it."""
    folder = Path(output_dir)
    made_by = folder / RECIPE
    if not is_taken(output_dir) or folder.is_dir() and all(map(_is_left_over, folder.iterdir())):
        return
    if (folder / "model.safetensors").exists() or not made_by.is_file():
        raise InputError(f"output_dir {output_dir} holds another run already; give another --output_dir, or remove it first")
    try:
        before, now = json.loads(made_by.read_text(encoding="utf-8")), json.loads(dump(*parts))
    except ValueError:
        raise InputError(
            f"output_dir {output_dir} holds a run whose {RECIPE} cannot be read; give another --output_dir, or remove it first"
        ) from None
    changed = [name for name in now if before.get(name) != now[name] and name not in PLACES]
    if changed:
        was = f"{changed[0]} was {before.get(changed[0])!r} and is {now[changed[0]]!r}"
        raise InputError(f"output_dir {output_dir} holds a run of another config ({was}); give another, or remove it first")


def _is_left_over(path: Path) -> bool:
    """Whether it is all that a run leaves when it is killed before its first file is whole."""
    return path.name == locks.NAME or path.match(f".{RECIPE}.*.part")


def dump(*parts: Any) -> str:
    """Every field of the run's config as JSON."""
    fields = {k: v for part in parts for k, v in dataclasses.asdict(part).items() if not k.endswith("_token")}
    return json.dumps(fields, indent=2, default=str)


def save_config(output_dir: str, *parts: Any) -> None:
    """Writes the run's config to `recipe.json`, so that a run folder says how it was made."""
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    files.write_text(folder / RECIPE, dump(*parts) + "\n")
