"""Checkpoints of the current weights for vLLM servers to load: complete or not there, in a folder that is only ours."""

import atexit
import copy
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from data_mix import files
from data_mix.errors import InputError

SHARD = 4 * 2**30  # bytes per file, so that no more than this has to be in memory at a time


def open_folder(folder: Path) -> None:
    """Creates the folder, readable by its owner only, or empties it; it is removed when this process exits.

    Raises:
        InputError: if it exists and is not ours alone: anybody can create folders in /dev/shm.
    """
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise InputError(f"{folder}, where the servers load weights from, is not a folder of yours alone", "remove it")
        keep_only(folder, None)
    except OSError as error:
        raise InputError(
            f"{folder}: {files.reason(error)}", "servers load weights from there; make it a writable folder"
        ) from None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def keep_only(folder: Path, name: str | None) -> None:
    """Removes everything else from the folder."""
    for path in folder.iterdir():
        if path.name != name:
            shutil.rmtree(path)


def write(folder: Path, name: str, weights: Iterator[tuple[str, torch.Tensor]], config, dtype: str) -> Path:
    """Writes a checkpoint folder under a temporary name, and renames it when it is complete.

    Args:
        folder: to write into.
        name: of the checkpoint folder.
        weights: (name, full tensor) pairs.
        config: the model's transformers config.
        dtype: of the tensors in the file: float32, bfloat16 or float16.
    """
    from safetensors.torch import save_file

    temporary, target = folder / f".{name}.part", folder / name
    temporary.mkdir(mode=0o700)
    config = copy.deepcopy(config)
    config.dtype = getattr(torch, dtype)
    config.save_pretrained(temporary)
    shard: dict[str, torch.Tensor] = {}
    size = shards = 0

    def flush() -> None:
        nonlocal size, shards
        save_file(shard, temporary / f"model-{shards:05d}.safetensors", metadata={"format": "pt"})
        shard.clear()
        size, shards = 0, shards + 1

    for key, tensor in weights:
        shard[key] = tensor.detach().to("cpu", getattr(torch, dtype), copy=True).contiguous()
        size += shard[key].nbytes
        if size >= SHARD:
            flush()
    if shard:
        flush()
    temporary.rename(target)
    return target


@contextmanager
def unchanged(model) -> Iterator[None]:
    """Restores the weights under a LoRA adapter bit for bit: merging and unmerging it rounds them."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    before = [(layer.get_base_layer().weight, layer.get_base_layer().weight.detach().clone()) for layer in layers]
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, value in before:
                weight.copy_(value)
