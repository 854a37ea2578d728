"""The Hugging Face Hub: what is looked up there, and uploads.

No name that may be a mistyped local path is looked up, as anyone can register one.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from data_mix.errors import InputError
from data_mix.files import reason

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


def upload(
    folder: Path,
    name: str,
    repo_type: str,
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
    ignored: Sequence[str] = (".*",),
) -> str:
    """Uploads a folder to a repository of the hub, which is created if it does not exist; returns its address.

    Args:
        folder: what to upload.
        name: owner/name, or a name in the user's own namespace.
        repo_type: model or dataset.
        private: whether a new repository is private; None: the owner's default.
        token: None: that of `hf auth login` or HF_TOKEN.
        revision: branch; None: main.
        ignored: patterns of files that are not uploaded.

    Raises:
        InputError: when the hub cannot be reached or refuses the upload.
    """
    import httpx
    from huggingface_hub import HfApi

    api, where = HfApi(token=token), {"repo_type": repo_type}
    try:
        repo = api.create_repo(name, private=private, exist_ok=True, **where)
        options = {"commit_message": "Upload with cotmix", "revision": revision, "ignore_patterns": list(ignored)}
        api.upload_folder(repo_id=repo.repo_id, folder_path=folder, **options, **where)
    except (httpx.HTTPError, OSError, ValueError) as error:
        fix = f"run `hf auth login`, then `hf upload {name} {folder} --repo-type {repo_type}`"
        raise InputError(f"{folder} cannot be pushed to {name} ({reason(error)})", fix) from None
    return str(repo)
