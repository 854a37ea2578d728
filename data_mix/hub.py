"""Decides what is looked up on the Hugging Face Hub: no name that may be a mistyped local path, as anyone can register one."""

import os
from pathlib import Path

# Usual folder names (and their plurals): never an owner on the hub.
LOCAL = ("checkpoint", "data", "dataset", "home", "model", "output", "recipe", "run", "shared", "tmp")
FILES = (".csv", ".gz", ".json", ".jsonl", ".parquet", ".safetensors", ".txt", ".yaml", ".yml", ".zip", ".zst")


def is_hub_id(name: str) -> bool:
    """Whether `name` has the form owner/name and cannot be meant as a local path."""
    owner, slash, rest = name.partition("/")
    if not slash or not rest or "/" in rest or owner.lower().removesuffix("s") in LOCAL or name.startswith((".", "~")):
        return False
    return bool(owner) and not os.path.exists(owner) and not rest.lower().endswith(FILES)


def missing_part(path: str) -> str:
    """The first part of a path that does not exist: `runs` for `runs/sft` when there is no `runs`."""
    full = Path(os.path.expanduser(path))
    return str(next((part for part in [*reversed(full.parents), full] if not os.path.exists(part)), full))
