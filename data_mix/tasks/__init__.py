"""The tasks: one module per kind of problem, named by the `task` of a source in the mixture's YAML.

Generated tasks define `draw(seed, n_train, n_test, **options) -> (train, test)`, two disjoint pools. Tasks with records define
`read(on_error, **options) -> Records`, all records of both splits; decontamination and selection happen in sources.py. The
keyword-only arguments of either are the options of a source. To add a task, write its module and add its name to NAMES.
An own task is a function in a file of the user's (own.py).
"""

import importlib
import inspect
from types import ModuleType

from data_mix.errors import InputError, nearest
from data_mix.tasks.own import OwnTask
from rewards.own_code import is_own

NAMES = ("parity", "multiplication", "gsm_symbolic", "gsm8k", "math", "svamp", "records")


def find_task(name: str) -> ModuleType | OwnTask:
    """Imports and returns the task module `name`, or the own task that it names."""
    if is_own(name):
        return OwnTask(name)
    if name not in NAMES:
        raise InputError(f"task '{name}' is unknown; use one of {', '.join(NAMES)}{nearest(str(name), NAMES)}")
    return importlib.import_module(f"data_mix.tasks.{name}")


def is_generated(task: ModuleType | OwnTask) -> bool:
    """Whether the task's problems are generated rather than read from records."""
    return hasattr(task, "draw")


def options_of(task: ModuleType | OwnTask) -> dict[str, bool]:
    """The options of a source of this task; True for required ones."""
    if isinstance(task, OwnTask):
        return task.options
    parameters = inspect.signature(task.draw if is_generated(task) else task.read).parameters.values()
    return {p.name: p.default is p.empty for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
