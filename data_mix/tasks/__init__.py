"""The tasks: one module per kind of problem, named by the `task` of a source in the mixture's YAML.

Generated tasks define `draw(seed, n_train, n_test, **options) -> (train, test)`, two disjoint pools. Tasks with records define
`read(on_error, **options) -> Records`, all records of both splits; decontamination and selection happen in sources.py. The
keyword-only arguments of either are the options of a source. To add a task, write its module and add its name to NAMES.
"""

import importlib
import inspect
from types import ModuleType

from data_mix.errors import InputError, nearest

NAMES = ("parity", "multiplication", "gsm_symbolic", "gsm8k", "math", "svamp", "records")


def find_task(name: str) -> ModuleType:
    """Imports and returns the task module `name`."""
    if name not in NAMES:
        raise InputError(f"task '{name}' is unknown; use one of {', '.join(NAMES)}{nearest(str(name), NAMES)}")
    return importlib.import_module(f"data_mix.tasks.{name}")


def is_generated(task: ModuleType) -> bool:
    """Whether the task's problems are generated rather than read from records."""
    return hasattr(task, "draw")


def options_of(task: ModuleType) -> dict[str, bool]:
    """The options of a source of this task; True for required ones."""
    parameters = inspect.signature(task.draw if is_generated(task) else task.read).parameters.values()
    return {p.name: p.default is p.empty for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
