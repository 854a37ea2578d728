"""The tasks: each module loads one kind of problem, `load(seed, n_train, n_test, **options) -> (train, test)`.

Options are the keyword-only arguments of `load`; a source in the mixture's YAML names them directly. `n_train` may be
None for a source with records of its own: all of them.
"""

import importlib
import inspect
from types import ModuleType

from data_mix.errors import InputError, nearest

NAMES = ("parity", "gsm_symbolic", "gsm8k", "math")


def find_task(name: str) -> ModuleType:
    """The task module called `name`, imported on first use."""
    if name not in NAMES:
        raise InputError(f"task '{name}' is unknown; there are {', '.join(NAMES)}{nearest(name, NAMES)}")
    return importlib.import_module(f"data_mix.tasks.{name}")


def option_names(task: ModuleType) -> list[str]:
    """The options a source of this task may set."""
    parameters = inspect.signature(task.load).parameters.values()
    return [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
