"""User-defined reward functions: loaded from a file or module, called as TRL calls them, their results checked.

A function gets the arguments that TRL passes (ARGUMENTS, each a list with a value per completion but for the last three) and
the parameters of the config, and returns a number or None for each completion. It may be async.
"""

import asyncio
import functools
import importlib
import inspect
import math
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType

from rewards.own_code import import_file, split

ARGUMENTS = (
    *("prompts", "completions", "completion_ids", "answer", "problem_id", "source", "meta"),
    *("trainer_state", "log_extra", "log_metric"),
)
LARGEST = 3.4e38  # of float32, in which TRL keeps rewards


class RewardError(RuntimeError):
    """A reward function raised, or returned something other than a finite number or None per completion; one line."""


def load(reward: str) -> Callable:
    """The function that `FILE.py:function`, `module:function` or `module.function` names.

    Raises:
        ValueError: if there is none, or its file raises.
    """
    place, name = split(reward)
    if not place or not name:
        raise ValueError(f"rewards: '{reward}' is not a function; write my_rewards.py:function or package.module:function")
    try:
        module = import_file(Path(place).resolve()) if place.endswith(".py") else _import_module(place)
    except (FileNotFoundError, IsADirectoryError):
        raise ValueError(f"rewards: {place}: no such file; the path is relative to the current folder, {Path.cwd()}") from None
    except Exception as error:  # whatever the user's module raises
        raise ValueError(f"rewards: {place} cannot be imported: {describe(error)}") from None
    function = getattr(module, name, None)
    if not callable(function):
        functions = [value for value in vars(module).values() if inspect.isfunction(value)]
        named = [f.__name__ for f in functions if f.__module__ == module.__name__ and not f.__name__.startswith("_")]
        listed = f"it has {', '.join(named)}" if named else "it has no function"
        raise ValueError(f"rewards: {place} has no function '{name}'; {listed}")
    return function


def _import_module(name: str) -> ModuleType:
    """The module, which may also be in the current folder."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    return importlib.import_module(name)


def describe(error: Exception) -> str:
    """An exception as one line: type, message, and the file and line that raised it."""
    text = " ".join(str(error).split())[:300]
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}:{error.lineno})"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<frozen")]
    frames = [f for f in frames if f.filename != __file__] or frames
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}{where}"


def is_async(function: Callable) -> bool:
    """Whether calling it returns an awaitable."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def guarded(name: str, function: Callable, parameters: dict) -> Callable[..., list[float | None] | Awaitable]:
    """`function` with its parameters, called with keyword arguments ARGUMENTS; async if it is.

    Without `**kwargs` it gets only the arguments that it names.

    Raises:
        RewardError: when called, if it raises or returns something other than a finite number or None per completion.
    """
    signature = inspect.signature(function).parameters.values()
    takes_all = any(p.kind is p.VAR_KEYWORD for p in signature)
    named = {p.name for p in signature}

    def select(arguments: dict) -> dict:
        return {k: v for k, v in arguments.items() if takes_all or k in named} | parameters

    def fail(error: Exception, problem: str | None) -> RewardError:
        return RewardError(f"reward {name} raised {describe(error)}" + (f", on problem {problem}" if problem else ""))

    async def call_async(**arguments) -> list[float | None]:
        try:
            values = await function(**select(arguments))
        except Exception as error:
            for problem, part in _by_problem(arguments):
                try:
                    await function(**select(part))
                except Exception as again:
                    raise fail(again, problem) from error
            raise fail(error, None) from error
        return _check(name, values, arguments["problem_id"])

    def call(**arguments) -> list[float | None]:
        try:
            values = function(**select(arguments))
        except Exception as error:
            for problem, part in _by_problem(arguments):
                try:
                    function(**select(part))
                except Exception as again:
                    raise fail(again, problem) from error
            raise fail(error, None) from error
        return _check(name, values, arguments["problem_id"])

    return call_async if is_async(function) else call


def _by_problem(arguments: dict) -> Iterator[tuple[str, dict]]:
    """The arguments of each problem's completions alone, to find the problem that makes a function raise."""
    ids = arguments["problem_id"]
    silent = {"log_extra": lambda *_: None, "log_metric": lambda *_: None}
    for problem in dict.fromkeys(ids):
        rows = [i for i, other in enumerate(ids) if other == problem]
        part = {k: [v[i] for i in rows] if isinstance(v, list) and len(v) == len(ids) else v for k, v in arguments.items()}
        yield problem, part | silent


def _check(name: str, values, problems: list[str]) -> list[float | None]:
    """The values as floats and None."""
    try:
        values = list(values)
    except TypeError:
        raise RewardError(f"reward {name} returned {values!r}; it must return a list with one value per completion") from None
    if len(values) != len(problems):
        raise RewardError(f"reward {name} returned {len(values)} values for {len(problems)} completions; return one for each")
    checked = []
    for value, problem in zip(values, problems, strict=True):
        try:
            number = None if value is None else math.nan if isinstance(value, str) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if number is not None and not abs(number) < LARGEST:  # also for NaN
            raise RewardError(f"reward {name} returned {value!r} for problem {problem}; return a finite number, or None")
        checked.append(number)
    return checked


def run(function: Callable, **arguments) -> list[float | None]:
    """Calls a reward function, async or not, outside of TRL."""
    return asyncio.run(function(**arguments)) if is_async(function) else function(**arguments)
