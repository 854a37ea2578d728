"""Writes Slurm batch scripts: for a recipe on one or more nodes, optionally with vLLM servers, or an ablation as a job array.

The script is templates/job.sh, filled in. What only the cluster knows (node names, ports, attempts) is looked up when it runs.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_mix.errors import InputError, nearest
from data_mix.files import read_json
from launch.ablation import ROOT, Ablation
from launch.serve import check_heads
from recipes.training.preflight.services import choose_push

RECIPES = ("sft", "grpo", "star")
SAVE_SECONDS = 300  # before the time limit, for saving; half of a job shorter than twice this
SERVER_START_SECONDS = 1800  # for vLLM to load its model


@dataclass
class Resources:
    """Resources to request from Slurm.

    Attributes:
        nodes: training nodes.
        gpus_per_node: 0 for CPU.
        cpus_per_node: CPU cores; None requests exclusive nodes.
        vllm_nodes: additional nodes for vLLM servers; 0 means that every trainer process has its own engine.
        time: time limit in Slurm's notation: minutes, HH:MM:SS or D-HH:MM:SS.
        partition: partition names, separated by commas; None for the cluster's default.
        after: ids of jobs that must have succeeded before, separated by colons.
        sbatch: other options of sbatch, such as `--account=abc`.
        setup: a file with shell lines that run before everything else (modules, containers).
    """

    nodes: int = 1
    gpus_per_node: int = 8
    cpus_per_node: int | None = None
    vllm_nodes: int = 0
    time: str = "24:00:00"
    partition: str | None = None
    after: str | None = None
    sbatch: Sequence[str] = ()
    setup: str | None = None

    def check(self) -> None:
        """Raises InputError for values that are invalid on every cluster."""
        for name, least in (("nodes", 1), ("gpus_per_node", 0), ("vllm_nodes", 0)):
            if getattr(self, name) < least:
                option = name.replace("_", "-")
                raise InputError(f"--{option} is {getattr(self, name)}; it must be at least {least}")
        if self.partition is not None and not re.fullmatch(r"[\w.,-]+", self.partition, re.ASCII):
            raise InputError(f"--partition {self.partition}: give partition names from `sinfo`, separated by commas")
        if self.after is not None and not re.fullmatch(r"\d+(_\d+)?(:\d+(_\d+)?)*", self.after, re.ASCII):
            raise InputError(f"--after {self.after}: give the id of a job from `squeue`, or several separated by colons")
        for option in self.sbatch:
            if not re.fullmatch(r"--[a-z][a-z-]*(=[\w.,:%+/@=-]+)?", option, re.ASCII):
                raise InputError(f"--sbatch {option}: give an option of sbatch with its value, such as --sbatch=--account=abc")
        if self.setup is not None and not Path(self.setup).is_file():
            raise InputError(f"--setup {self.setup}: no such file; give one with shell lines")
        self.seconds()

    def setup_lines(self) -> str:
        """The lines of the setup file."""
        return Path(self.setup).read_text(encoding="utf-8").strip() if self.setup else ""

    def seconds(self) -> int:
        """The time limit in seconds."""
        days, _, clock = self.time.rpartition("-")
        parts = clock.split(":")
        if not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", self.time, re.ASCII):
            raise InputError(f"--time {self.time}: not a time limit; give minutes, HH:MM:SS or D-HH:MM:SS")
        # D-HH:MM:SS from the left, else MM, MM:SS, HH:MM:SS
        units = (3600, 60, 1) if days else {1: (60,), 2: (60, 1), 3: (3600, 60, 1)}[len(parts)]
        return int(days or 0) * 86400 + sum(int(part) * unit for part, unit in zip(parts, units, strict=False))

    def save_seconds(self) -> int:
        """How many seconds before the time limit the run is told to save and exit."""
        return min(SAVE_SECONDS, self.seconds() // 2)


@dataclass
class SlurmJob:
    """The values that fill templates/job.sh.

    Attributes:
        resources: what to request from Slurm.
        name: the job's name.
        made_by: the command line that made the script.
        logs: log folder, relative to the current folder.
        command: the recipe, or `-m launch ablate FILE`, with its arguments.
        launcher: arguments of `python` that start the recipe's processes.
        server: arguments of `python` that start a vLLM server; empty without server nodes.
        restart: whether each server node has a server of its own, which is started again if it dies, as weights from files
            allow. Otherwise the nodes share one, in whose NCCL group a new process has no place.
        array: the value of --array.
    """

    resources: Resources
    name: str
    made_by: list[str]
    logs: Path
    command: list[str]
    launcher: list[str] = field(default_factory=list)
    server: list[str] = field(default_factory=list)
    restart: bool = False
    array: str | None = None

    @property
    def has_group_port(self) -> bool:
        """Whether the run takes the port of an NCCL group: star.py has no field for it."""
        return bool(self.server) and not self.restart and Path(self.command[0]).stem == "grpo"

    def __post_init__(self) -> None:
        """Raises InputError for values that could break out of their place in the script."""
        check_printable("the path of the job's working directory", Path.cwd())
        check_printable("the path of python", sys.executable)
        check_arguments([*self.made_by, *self.command, *self.server])
        if "\\" in str(self.logs):
            raise InputError(
                f"the log folder {self.logs} has a backslash, which stops Slurm from filling in job ids; rename it"
            )

    def render(self) -> str:
        """The text of the script."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        loader = FileSystemLoader(Path(__file__).parent / "templates")
        environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        environment.filters |= {
            "quote": lambda value: shlex.quote(str(value)),
            "join_words": shlex.join,
            "sbatch": sbatch_quote,
        }
        values = {
            "job": self,
            "resources": self.resources,
            "workdir": Path.cwd(),
            "python": Path(sys.executable),
            "server_start": SERVER_START_SECONDS,
        }
        return environment.get_template("job.sh").render(**values)

    def submit(self) -> str:
        """Submits the script with sbatch; returns its output."""
        created = [folder for folder in (self.logs, *self.logs.parents) if not folder.exists()]
        self.logs.mkdir(parents=True, exist_ok=True)
        try:
            done = subprocess.run(["sbatch"], input=self.render(), capture_output=True, text=True, check=False)
            error = done.returncode and f"sbatch rejected the job: {' '.join(done.stderr.split())}"
        except FileNotFoundError:
            error = "--submit: sbatch is not on this machine; run it on a login node of the cluster"
        if error:
            for folder in created:
                folder.rmdir()
            raise InputError(error)
        return done.stdout.strip()


def check_printable(name: str, value: object) -> None:
    """Raises InputError for a control character: a newline would start another line of the script."""
    if not str(value).isprintable():
        raise InputError(f"{name} {str(value)!r} has a control character, which a batch script cannot contain; remove it")


def check_arguments(words: list[str]) -> None:
    """Raises InputError for control characters and Hub tokens in a command line.

    Anyone who can read the script, the queue or the process list would see a token.
    """
    for previous, word in zip(["", *words], words, strict=False):
        name = previous if previous.startswith("--") and not word.startswith("--") else "argument"
        option = word.partition("=")[0]
        is_token_option = option.startswith("--") and option.endswith(("hub_token", "hub-token"))
        if is_token_option or re.search(r"\bhf_[A-Za-z0-9]{20,}", word):
            name = option if is_token_option else name
            raise InputError(f"{name}: a token does not belong in a batch script; set HF_TOKEN in the environment instead")
        check_printable(name, word)


def sbatch_quote(value: object) -> str:
    """Quotes a value for an #SBATCH line; sbatch treats a backslash as an escape within double quotes too."""
    return '"' + re.sub(r'(["\\])', r"\\\1", str(value)) + '"'


def recipe_job(script: str, arguments: list[str], resources: Resources, accelerate: str | None, made_by: list[str]) -> SlurmJob:
    """A job that runs `accelerate launch SCRIPT ARGUMENTS` on all training nodes.

    Raises:
        InputError: for an unknown recipe, config or accelerate config, or settings that do not go together.
    """
    resources.check()
    recipe = Path(script).stem
    if recipe not in RECIPES or (ROOT / script).resolve() != (ROOT / "recipes" / f"{recipe}.py").resolve():
        raise InputError(f"{script}: no such recipe; choose from {', '.join(f'recipes/{name}.py' for name in RECIPES)}")
    known = sorted(path.stem for path in (ROOT / "launch" / "accelerate").glob("*.yaml"))
    if accelerate is None:
        accelerate = "cpu" if not resources.gpus_per_node else "ddp" if recipe == "star" else "zero2"
    if accelerate not in known:
        raise InputError(f"--accelerate {accelerate}: choose from {', '.join(known)}{nearest(accelerate, known)}")
    if recipe == "star" and accelerate not in ("cpu", "ddp"):
        raise InputError(f"--accelerate {accelerate}: star.py cannot shard a model; use ddp")
    fields = config_fields(recipe, arguments)
    out = fields["output_dir"]
    if out is None:
        raise InputError("output_dir is in neither the config nor the arguments; give --output_dir")
    if not isinstance(out, str):
        raise InputError(f"output_dir is {out!r}; it must be the path of a folder")
    check_printable("output_dir", out)
    server, weight_push = [], choose_push(fields.get("weight_push"), bool(resources.gpus_per_node))
    if resources.vllm_nodes:
        if recipe == "sft":
            raise InputError(f"--vllm-nodes: {script} has no rollouts; omit the option")
        arguments = [*arguments, "--vllm_mode", "server"]
        server = server_command(recipe, fields, arguments, resources, weight_push)
    processes = max(1, resources.gpus_per_node) * resources.nodes
    launcher = ["-m", "accelerate.commands.launch", "--config_file", package_file(f"launch/accelerate/{accelerate}.yaml")]
    launcher += ["--num_machines", str(resources.nodes), "--num_processes", str(processes)]
    name = re.sub(r"[^\w.+-]", "-", "-".join([recipe, *Path(out).absolute().parent.parts[-1:]]))
    logs, command = Path(out).parent / "slurm", [package_file(script), *arguments]
    return SlurmJob(resources, name, made_by, logs, command, launcher, server, weight_push == "files")


def package_file(path: str) -> str:
    """The path of a cotmix file in the script: relative where the job runs in the checkout, else absolute."""
    return path if Path.cwd() == ROOT else str(ROOT / path)


def config_fields(recipe: str, arguments: list[str]) -> dict[str, Any]:
    """A recipe's fields from its config and arguments, read by the same parser as in the job.

    Raises:
        InputError: for a missing config, an unknown field, or a value of the wrong type.
    """
    environment = dict(os.environ)
    try:
        from recipes.training import config

        return config.parse_fields(recipe, config.classes_of(recipe), arguments)
    finally:  # importing a recipe sets variables for this machine, and sbatch would pass them on to the job's
        os.environ.clear()
        os.environ.update(environment)


def server_command(recipe: str, fields: dict, arguments: list[str], resources: Resources, weight_push: str) -> list[str]:
    """The arguments of `python` that start a vLLM server for the run; `fields` are those of `arguments`.

    Raises:
        InputError: for fields with which it could not start.
    """
    if weight_push == "nccl" and not resources.gpus_per_node:
        raise InputError("--vllm-nodes: weight_push is nccl, which needs GPUs; use files")
    if fields.get("model_name_or_path") is None:
        raise InputError("--vllm-nodes: the server needs model_name_or_path; set it in the config")
    check_printable("model_name_or_path", fields["model_name_or_path"])
    model, size = Path(fields["model_name_or_path"]) / "config.json", resources.gpus_per_node
    if model.is_file():
        check_heads(read_json(model).get("num_attention_heads", size), size, "--gpus-per-node")
    from recipes.training.config import split_config

    config, words = split_config(recipe, arguments)
    return ["-m", "launch", "serve", config, "--recipe", recipe, *words]


def ablation_job(path: str, ablation: Ablation, max_parallel: int | None, resources: Resources, made_by: list[str]) -> SlurmJob:
    """A job array with one task per cell, at most `max_parallel` at a time."""
    resources.check()
    if resources.nodes > 1 or resources.vllm_nodes:
        raise InputError("--array-over: a cell runs on one node; omit --nodes and --vllm-nodes")
    if max_parallel is not None and max_parallel < 1:
        raise InputError(f"--max-parallel is {max_parallel}; it must be at least 1")
    check_printable("out", ablation.out)
    array = f"0-{len(ablation.cells) - 1}" + (f"%{max_parallel}" if max_parallel else "")
    name = "ablate-" + re.sub(r"[^\w.+-]", "-", ablation.out.name)
    command = ["-m", "launch", "ablate", path]
    return SlurmJob(resources, name, made_by, ablation.out / "slurm", command, array=array)
