"""Rows of SFT: bfloat16 on a GPU, or sharded over two, has the losses of float32 on CPU."""

from pathlib import Path

from tests.bench.measure import words
from tests.gpu.lab import QUIET, Lab, expect, losses
from tests.gpu.rollouts import compare_logps

LOSS = 0.02  # largest difference of a step's loss


def sft(lab: Lab) -> str:
    """SFT from scratch in bf16 has the losses of float32 on CPU"""
    reference = lab.shared / "start"
    lab.run("sft", [*lab.sft(lab.row / "sft"), "--bf16", "true"])
    return compare_losses(lab.row / "sft", reference)


def sharded(lab: Lab, config: str) -> str:
    """SFT and GRPO in two processes, with a config of launch/accelerate/"""
    start, folder = lab.shared / "start", lab.row
    size = words(max_steps=20, learning_rate=1e-3, logging_steps=1, save_strategy="no", max_length=64)
    size += words(heldout_problems=4, heldout_max_tokens=24)
    where = ["recipes/sft.py", *words(config="recipes/gsm8k/llama/3b-8x80gb/sft.yaml", mixture=lab.shared / "mixture")]
    where += [*words(model_name_or_path=start), *size, *QUIET]
    one = words(per_device_train_batch_size=32, output_dir=folder / "one", bf16="false")
    lab.run("one", [*where, *one], gpus=[])
    launch = ["-m", "accelerate.commands.launch", "--config_file", f"launch/accelerate/{config}.yaml"]
    launch += words(num_processes=2, main_process_port=0)
    # transformers takes bf16 with DeepSpeed only on GPUs
    two = words(per_device_train_batch_size=16, output_dir=folder / "two", bf16=str(bool(lab.gpus)).lower())
    lab.run("two", [*launch, *where, *two], gpus=lab.gpus[:2])
    figures = compare_losses(folder / "two", folder / "one")
    lab.run("grpo", [*launch, *lab.grpo(folder / "grpo", per_device_train_batch_size=32)], gpus=lab.gpus[:2])
    return f"{figures}; {compare_logps(folder / 'grpo', start)}"


def compare_losses(run: Path, reference: Path) -> str:
    """Figures of a run's losses against a reference's."""
    ours, theirs = losses(run), losses(reference)
    difference = max(abs(one - other) for one, other in zip(ours, theirs, strict=True))
    figures = f"loss {ours[0]:.3f} -> {ours[-1]:.3f}, off by {difference:.4f} from float32 on CPU (bar {LOSS})"
    return expect(difference <= LOSS and ours[-1] < ours[0], figures)
