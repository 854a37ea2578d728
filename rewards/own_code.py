"""User-defined functions: their names, and their files run as modules; for tasks, forms and rewards."""

import functools
import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def is_own(spec: object) -> bool:
    """Whether `spec` names a user's function rather than something built in: no built-in name has a dot or a colon."""
    return isinstance(spec, str) and ("." in spec or ":" in spec)


def split(spec: str) -> tuple[str, str]:
    """File or module, and function, of `FILE.py:function`, `package.module:function` or, as in TRL, `package.module.name`."""
    if spec.endswith(".py"):
        return spec, ""
    place, colon, name = spec.rpartition(":")
    return (place, name) if colon else spec.rpartition(".")[::2]


def import_file(path: Path) -> ModuleType:
    """The module in a file, which is run once for each content that it has. It can import its neighbours.

    Raises:
        OSError: when the file cannot be read.
        Exception: whatever running it raises.
    """
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # last, so that it hides nothing
    return _run(path, hashlib.sha256(path.read_bytes()).hexdigest())


@functools.lru_cache(maxsize=32)
def _run(path: Path, digest: str) -> ModuleType:
    name = f"own_{path.stem}_{digest[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module
    spec.loader.exec_module(module)
    return module
