"""Model folders: whether a whole model is in one, its checkpoints, and the precision it was trained in."""

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_mix.errors import InputError
from data_mix.hub import is_hub_id, missing_part
from eval.generation.machine import stored_dtype


def check_model_path(model: str, what: str, made_by: str) -> None:
    """Raises InputError for a local path without a whole model in it; a hub id (owner/name) passes."""
    folder = Path(model)
    if not folder.exists():
        if is_hub_id(model):
            return
        raise InputError(f"{what} {model}: no model there ({missing_part(model)} does not exist); {made_by}")
    if not (folder / "config.json").is_file():
        raise InputError(f"{what} {model}: no model there (it has no config.json); {made_by}")
    indexes = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.index.json")]
    shards = {name for index in indexes for name in index["weight_map"].values()}
    missing = sorted(name for name in shards if not (folder / name).is_file())
    if missing or not (shards or any(folder.glob("*.safetensors")) or any(folder.glob("*.bin"))):
        raise InputError(
            f"{what} {model}: {missing[0] if missing else 'the weights'} is not there, it is half a model; {made_by}"
        )


def find_checkpoints(run: str) -> dict[int, Path]:
    """Step or round → `checkpoint-N` in a run's folder, in order. `checkpoint-100-keep` and the like are none."""
    found = {}
    for path in Path(run).glob("checkpoint-*"):
        if re.fullmatch("checkpoint-[1-9][0-9]*", path.name) and path.is_dir():
            found[int(path.name.removeprefix("checkpoint-"))] = path
    return dict(sorted(found.items()))


def compute_dtype(fields: Mapping[str, Any]) -> str | None:
    """The 16-bit type that a recipe's fields `bf16` and `fp16` have it compute in; None where neither is set."""
    return "float16" if fields.get("fp16") else "bfloat16" if fields.get("bf16") else None


def choose_dtype(model: str) -> str:
    """The precision the checkpoint was trained to compute in (a recipe's recipe.json), else the one it is stored in."""
    folder = Path(model)
    recipe = (folder.parent if folder.name.startswith("checkpoint-") else folder) / "recipe.json"
    if recipe.is_file():
        with contextlib.suppress(ValueError):  # a crash can have left it empty
            fields = json.loads(recipe.read_text(encoding="utf-8"))
            return compute_dtype(fields) or "float32"
    from transformers import AutoConfig

    # not vLLM's auto, which computes in 16 bits what is stored in 32
    return stored_dtype(AutoConfig.from_pretrained(model)) or "auto"
