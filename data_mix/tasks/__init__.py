"""The tasks: each module is one kind of problem. A source in the mixture's YAML names one, and its options beside it.

Tasks whose problems are generated have `draw(seed, n_train, n_test, **options) -> (train, test)`, two pools that share no
problem. Tasks whose problems are records that somebody wrote have `read(on_error, **options) -> Records`, all of both
splits; the mixture cleans them and chooses. Options are the keyword-only arguments of either.
"""

import importlib
import inspect
from types import ModuleType

from data_mix.errors import InputError, nearest

NAMES = ("parity", "multiplication", "gsm_symbolic", "gsm8k", "math", "svamp", "records")


def find_task(name: str) -> ModuleType:
    """The task module called `name`, imported on first use."""
    if name not in NAMES:
        raise InputError(f"task '{name}' is unknown; there are {', '.join(NAMES)}{nearest(str(name), NAMES)}")
    return importlib.import_module(f"data_mix.tasks.{name}")


def is_generated(task: ModuleType) -> bool:
    """Whether the task's problems are generated, rather than records."""
    return hasattr(task, "draw")


def options_of(task: ModuleType) -> dict[str, bool]:
    """The options that a source of this task may set; true for those that it must."""
    parameters = inspect.signature(task.draw if is_generated(task) else task.read).parameters.values()
    return {p.name: p.default is p.empty for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
