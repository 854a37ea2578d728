"""Loads user-defined functions, named `my_task.py:problems` or `package.module:problems` in YAML, and locates their errors.

Loading one runs its file. The manifest keeps the file's sha256, and `verify` compares it before it runs anything.
"""

import importlib
import importlib.util
import traceback
from collections.abc import Callable
from pathlib import Path

from data_mix.errors import InputError, nearest
from data_mix.files import reading, sha256_of
from rewards.own_code import import_file, split


def load(spec: str) -> Callable:
    """The function that `spec` names; runs its file.

    Raises:
        InputError: when the file or the function is missing, or running the file raises an exception.
    """
    place, name = split(spec)
    file = find_file(spec)
    try:
        module = import_file(file.absolute()) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:
        raise InputError(located(error, file), f"fix {place}") from None
    function = getattr(module, name, None)
    if not callable(function):
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise InputError(f"{spec}: {place} has no function '{name}'{nearest(name, functions)}")
    return function


def find_file(spec: str) -> Path:
    """The file that defines the function, without running it.

    Raises:
        InputError: when there is none.
    """
    place, name = split(spec)
    if not place or not name:
        raise InputError(f"'{spec}' is not a function; write my_file.py:function or package.module:function")
    if place.endswith(".py"):
        file = Path(place).expanduser()
        if not file.is_file():
            raise InputError(f"{spec}: {place}: no such file; paths are relative to the current folder")
        return file
    try:
        found = importlib.util.find_spec(place)
    except (ImportError, ValueError, AttributeError):
        found = None
    if found is None or not found.has_location:
        raise InputError(f"{spec}: no module '{place}'; install it, or write the path of its file, my_file.py:{name}")
    return Path(found.origin)


def sha256(spec: str) -> str:
    """The digest of the file that defines the function."""
    file = find_file(spec)
    with reading(file):
        return sha256_of(file)


def located(error: Exception, file: Path) -> str:
    """An exception as one line, `my_task.py:12: KeyError: 'x'`, with the last line of the user's file that was reached."""
    path = str(file.absolute())  # as in code objects
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == path else (lines or [1])[-1]
    text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())[:200]
    return f"{file}:{line}: {type(error).__name__}: {text}"
