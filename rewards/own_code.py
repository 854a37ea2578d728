"""Runs a user's Python file as a module, for user-defined tasks and forms (data_mix/own_code.py) and rewards (own.py)."""

import functools
import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def import_file(path: Path) -> ModuleType:
    """The module in a file, which is run once for each content that it has.

    Raises:
        OSError: when the file cannot be read.
        Exception: whatever running it raises.
    """
    return _run(path, hashlib.sha256(path.read_bytes()).hexdigest())


@functools.lru_cache(maxsize=32)
def _run(path: Path, digest: str) -> ModuleType:
    name = f"own_{path.stem}_{digest[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module
    spec.loader.exec_module(module)
    return module
