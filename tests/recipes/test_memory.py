"""Freed memory goes back to the system when the process has grown, and only then."""

import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from eval.generation import machine
from recipes.training.trainers.memory import ReleaseFreedMemory


def gaps(bytes_each: int, count: int) -> list[torch.Tensor]:
    """Tensors with freed memory between them, which malloc cannot return by shrinking its heap."""
    tensors = [torch.ones(bytes_each, dtype=torch.uint8) for _ in range(count)]
    return tensors[::2]


def test_memory_between_blocks_in_use_is_released_once_the_process_has_grown(tmp_path):
    callback = ReleaseFreedMemory()
    step = (TrainingArguments(str(tmp_path), use_cpu=True), TrainerState(), TrainerControl())
    machine.release_freed_memory()
    callback.on_step_begin(*step)
    before, size = callback.resident, max(machine.resident_bytes() // 256, 2**20)
    held = gaps(size, 128)
    grown = machine.resident_bytes()
    assert grown - before > 100 * size
    callback.on_step_begin(*step)
    assert grown - machine.resident_bytes() > 50 * size and callback.resident is None
    callback.on_step_begin(*step)
    callback.on_step_begin(*step)
    assert callback.resident > before + 50 * size and len(held) == 64
