"""Model folders: whether they are complete, their config and tokenizer, checkpoints, and the precision to evaluate them in."""

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_mix.errors import InputError
from data_mix.files import reason
from data_mix.hub import is_hub_id, missing_part
from eval.generation.machine import stored_dtype

FIXED_DATE = "{%- macro strftime_now(format) %}26 Jul 2024{%- endmacro +%}"  # the one that Llama 3.2's template falls back to


def check_model_path(model: str, option: str, fix: str) -> None:
    """Checks that a local path holds a complete model; hub ids (owner/name) are not checked.

    Args:
        model: folder or hub id.
        option: the option that holds it, for the message.
        fix: what to do about it, for the message.

    Raises:
        InputError: when the folder, its config.json or a weight shard is missing, or a safetensors file is broken.
    """
    folder = Path(model)
    if not folder.exists():
        if is_hub_id(model):
            return
        raise InputError(f"{option} {model}: no model there ({missing_part(model)} does not exist)", fix)
    if not (folder / "config.json").is_file():
        raise InputError(f"{option} {model}: no model there (it has no config.json)", fix)
    indexes = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.index.json")]
    shards = {name for index in indexes for name in index["weight_map"].values()}
    missing = sorted(name for name in shards if not (folder / name).is_file())
    if missing or not (shards or any(folder.glob("*.safetensors")) or any(folder.glob("*.bin"))):
        raise InputError(f"{option} {model}: incomplete model, no {missing[0] if missing else 'weights'} in it", fix)
    from safetensors import SafetensorError, safe_open

    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "np"):  # reads the header, which has the size of all that follows
                pass
        except SafetensorError as error:
            raise InputError(f"{option} {model}: {path.name} is incomplete or broken ({error})", fix) from None


def load_config(model: str):
    """The transformers config of a checkpoint.

    Raises:
        InputError: when it is missing or broken, or needs code that comes with the model, which is never run.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(model, trust_remote_code=False)
    except Exception as error:  # a broken file also raises KeyError, TypeError, AttributeError, ...
        raise InputError(f"{model}: its config.json cannot be loaded ({reason(error)})") from None


def load_tokenizer(model: str, option: str):
    """The tokenizer of a checkpoint; `option` holds the checkpoint's name, for the message.

    A chat template that writes today's date, such as that of Llama 3.2, gets a fixed one: else prompts would change overnight.

    Raises:
        InputError: as `load_config`.
    """
    from huggingface_hub import constants
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    except Exception as error:
        fix = "give a folder, or unset HF_HUB_OFFLINE" if constants.HF_HUB_OFFLINE else "save the model's tokenizer in it"
        raise InputError(f"{option} {model}: no tokenizer there ({reason(error)})", fix) from None
    template = tokenizer.chat_template
    if isinstance(template, str):
        tokenizer.chat_template = fix_date(template)
    elif template:  # several, by name
        tokenizer.chat_template = {name: fix_date(text) for name, text in template.items()}
    return tokenizer


def fix_date(template: str) -> str:
    """A chat template in which `strftime_now`, the function that transformers offers for today's date, gives a fixed one."""
    return FIXED_DATE + template if "strftime_now" in template and not template.startswith(FIXED_DATE) else template


def find_checkpoints(run: str) -> dict[int, Path]:
    """Step or round → `checkpoint-N` folder of a run, in ascending order. Other names (`checkpoint-100-keep`) are ignored."""
    found = {}
    for path in Path(run).glob("checkpoint-*"):
        if re.fullmatch("checkpoint-[1-9][0-9]*", path.name) and path.is_dir():
            found[int(path.name.removeprefix("checkpoint-"))] = path
    return dict(sorted(found.items()))


def weight_files(model: str) -> list[list]:
    """Name, size in bytes and mtime in ns of each weight file: they change when other weights take the folder's name."""
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(Path(model).glob("*.safetensors"))]


def compute_dtype(fields: Mapping[str, Any]) -> str | None:
    """The 16-bit compute dtype set by a recipe's fields `bf16` and `fp16`; None if neither is set."""
    return "float16" if fields.get("fp16") else "bfloat16" if fields.get("bf16") else None


def read_recipe(model: str) -> dict | None:
    """The fields of the recipe that trained a model or checkpoint (its recipe.json); None if no recipe of ours did."""
    folder = Path(model)
    path = (folder.parent if folder.name.startswith("checkpoint-") else folder) / "recipe.json"
    if path.is_file():
        with contextlib.suppress(ValueError):  # empty after a crash
            return dict(json.loads(path.read_text(encoding="utf-8")))
    return None


def read_history(model: str) -> list[dict]:
    """The recipes that trained a model, the last one first: those of grpo.py, then of the sft.py that it started from."""
    history, seen = [], set()
    while model and model not in seen and (recipe := read_recipe(model)):
        history.append(recipe)
        seen.add(model)
        model = recipe.get("model_name_or_path")
    return history


def choose_dtype(model: str) -> str:
    """The precision the model was trained to compute in (from the recipe's recipe.json), else the one it is stored in."""
    if recipe := read_recipe(model):
        return compute_dtype(recipe) or "float32"
    # vLLM's own "auto" would compute a float32 checkpoint in 16 bits
    return stored_dtype(load_config(model)) or "auto"
