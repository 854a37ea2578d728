"""Rows of speed: tokens per second of SFT and of rollouts, model FLOPs utilization, and memory against the recipe's estimate.

The models have a real one's shape and random weights. All rows of the mixture have the same length, 2 x BITS + 4 tokens.
"""

import re
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

from tests.bench.measure import read_log, words
from tests.gpu.lab import QUIET, Command, Lab
from tests.gpu.machine import peak_flops
from tests.tiny_llama import save_tiny_llama

SMOLLM2_135M = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
}
LLAMA_1B = {
    "vocab_size": 128256,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "tie_word_embeddings": True,
}
STEPS, SKIPPED = 8, 3  # the first steps include warm-up
GIB = 2**30


def speed(lab: Lab, shape: dict, bits: int = 510, rows: int = 16, completions: int = 512, limit: int = 256) -> str:
    """Trains and samples a model of the given shape.

    Args:
        lab: where.
        shape: fields of LlamaConfig.
        bits: of a parity problem; its row has 2 x bits + 4 tokens.
        rows: of a micro-batch, in SFT and in GRPO.
        completions: of a GRPO step, 8 for each prompt.
        limit: tokens of a completion; nearly all reach it, since the weights are random.
    """
    model = save_tiny_llama(lab.row / "model", instruct=False, **shape)
    build = [
        "-m",
        "data_mix",
        "build",
        "recipes/parity/mixture.yaml",
        "--out",
        lab.row / "mixture",
        "--set",
        f"sources.0.d={bits}",
    ]
    lab.run("mixture", [*build, "p_cot=1", "n_train=4096", "n_test=8"], gpus=[])
    size = words(
        max_steps=STEPS, learning_rate=1e-6, logging_steps=1, bf16=str(bool(lab.gpus)).lower(), gradient_checkpointing="false"
    )
    where = words(mixture=lab.row / "mixture", model_name_or_path=model, heldout_problems=0, per_device_train_batch_size=rows)
    sft, grpo = lab.row / "sft", lab.row / "grpo"
    lengths = words(
        max_length=2 * bits + 4, output_dir=sft, save_strategy="no", config="recipes/gsm8k/llama/3b-8x80gb/sft.yaml"
    )
    trained = lab.run("sft", ["recipes/sft.py", *where, *size, *lengths, *QUIET])
    lengths = words(max_completion_length=limit, vllm_max_model_length=bits + 4 + limit, output_dir=grpo)
    batches = words(gradient_accumulation_steps=completions // rows, vllm_gpu_memory_utilization=0.3)
    sampled = lab.run("grpo", ["recipes/grpo.py", *where, *size, *lengths, *batches, *QUIET])

    parameters = count_parameters(trained)
    rate = training_rate(sft)
    generated = median(grpo, lambda e: completions * e["completions/mean_length"] / e["generate_time"])
    step = median(grpo, lambda e: e["step_time"])
    for folder in (model, sft, grpo):  # gigabytes of weights
        for file in Path(folder).glob("*.safetensors"):
            file.unlink()
    shutil.rmtree(lab.row / "mixture")
    return (
        f"SFT {rate:,.0f} tokens/s, {utilization(rate, parameters, lab)}, {memory(trained)}; "
        f"rollouts {generated:,.0f} tokens/s, a GRPO step of {completions} completions {step:.1f} s, {memory(sampled)}"
    )


def training_rate(run: Path) -> float:
    """Tokens per second of SFT, prompts included, from the clock of its log."""
    entries = [entry for entry in read_log(run) if "loss" in entry][SKIPPED - 1 :]
    return (entries[-1]["num_tokens"] - entries[0]["num_tokens"]) / (entries[-1]["seconds"] - entries[0]["seconds"])


def median(run: Path, figure: Callable[[dict], float]) -> float:
    """The median over the steps of a GRPO run."""
    return statistics.median(figure(entry) for entry in [entry for entry in read_log(run) if "reward" in entry][SKIPPED:])


def count_parameters(run: Command) -> float:
    """Of the model, as the recipe prints them."""
    return 1e6 * float(re.search(r"([\d,.]+) M parameters", run.log.read_text())[1].replace(",", ""))


def utilization(rate: float, parameters: float, lab: Lab) -> str:
    """Model FLOPs utilization: 6 FLOPs per parameter and token (attention not counted) over the GPU's peak in bf16."""
    if not lab.gpus:
        return "on CPU"
    peak = peak_flops(lab.gpus[0].name)
    return f"MFU {6 * parameters * rate / peak:.1%}" if peak else f"unknown card {lab.gpus[0].name}: no MFU"


def memory(run: Command) -> str:
    """The peak that was measured, against the recipe's own estimate."""
    estimate = float(re.search(r"about ([\d.]+) GiB each", run.log.read_text())[1])
    return f"{run.peak / GIB:.1f} GiB (estimated {estimate:.1f})"
