"""Which names are looked up on the Hugging Face Hub: none that may be a mistyped local path, since anyone can register one."""

from pathlib import Path

# What people call folders; no owner on the hub is looked up by these names.
LOCAL = ("checkpoint", "data", "dataset", "home", "model", "output", "recipe", "run", "shared", "tmp")  # and their plurals
FILES = (".csv", ".gz", ".json", ".jsonl", ".parquet", ".safetensors", ".txt", ".yaml", ".yml", ".zip", ".zst")


def is_hub_id(name: str) -> bool:
    """Whether `name` has the form owner/name, and nothing says that it is meant as a local path."""
    owner, slash, rest = name.partition("/")
    if not slash or not rest or "/" in rest or owner.lower().removesuffix("s") in LOCAL or name.startswith((".", "~")):
        return False
    return bool(owner) and not Path(owner).exists() and not rest.lower().endswith(FILES)


def missing_part(path: str) -> str:
    """The first part of a path that does not exist: `runs` of `runs/sft` where there is no `runs`."""
    whole = Path(path).expanduser()
    return str(next((part for part in [*reversed(whole.parents), whole] if not part.exists()), whole))
