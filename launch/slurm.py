"""A batch script for Slurm: a recipe on some nodes, with vLLM on others or beside the trainers, or an ablation as a job array.

The script is templates/job.sh, filled in; everything that only the cluster knows (nodes, ports, attempts) it asks Slurm for.
"""

import contextlib
import importlib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_mix.errors import InputError, nearest
from eval.model_folder import compute_dtype

ROOT = Path(__file__).parents[1]
# Where jobs run and relative paths start: the checkout, or the current folder if cotmix is installed from a wheel.
BASE = ROOT if (ROOT / "pyproject.toml").is_file() else Path.cwd()
RECIPES = ("sft", "grpo", "star")
ACCELERATE = ROOT / "launch" / "accelerate"
LEAD = 300  # seconds before the time limit in which a run saves; half of a shorter job
SERVER_START = 1800  # seconds that vLLM may take to load its model


@dataclass
class Cluster:
    """What is asked of Slurm.

    Attributes:
        nodes: that train.
        gpus_per_node: 0 for CPU.
        cpus_per_node: cores; None for the whole node.
        vllm_nodes: that serve rollouts; 0: vLLM is beside the trainer on every GPU.
        time: limit, as Slurm takes it: minutes, HH:MM:SS or D-HH:MM:SS.
        partition: one, or several with commas; None for the cluster's own default.
    """

    nodes: int = 1
    gpus_per_node: int = 8
    cpus_per_node: int | None = None
    vllm_nodes: int = 0
    time: str = "24:00:00"
    partition: str | None = None

    def check(self) -> None:
        """Raises InputError for what no cluster can do."""
        for name, least in (("nodes", 1), ("gpus_per_node", 0), ("vllm_nodes", 0)):
            if getattr(self, name) < least:
                option = name.replace("_", "-")
                raise InputError(f"--{option} is {getattr(self, name)}; it must be at least {least}")
        if self.vllm_nodes and not self.gpus_per_node:
            raise InputError("--vllm-nodes: weights reach a vLLM server through NCCL, which needs GPUs; leave it out on CPU")
        if self.partition is not None and not re.fullmatch(r"[\w.,-]+", self.partition, re.ASCII):
            raise InputError(f"--partition {self.partition}: give names as `sinfo` lists them, with commas between them")
        self.seconds()

    def seconds(self) -> int:
        """The time limit."""
        days, _, clock = self.time.rpartition("-")
        parts = clock.split(":")
        if not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", self.time, re.ASCII):
            raise InputError(f"--time {self.time}: give minutes, HH:MM:SS or D-HH:MM:SS, as Slurm takes it")
        # D-HH:MM:SS from the left, else MM, MM:SS, HH:MM:SS
        units = (3600, 60, 1) if days else {1: (60,), 2: (60, 1), 3: (3600, 60, 1)}[len(parts)]
        return int(days or 0) * 86400 + sum(int(part) * unit for part, unit in zip(parts, units, strict=False))

    def lead(self) -> int:
        """Seconds before the time limit at which the run is asked to save."""
        return min(LEAD, self.seconds() // 2)


@dataclass
class SlurmJob:
    """What templates/job.sh is filled with.

    Attributes:
        cluster: what is asked of Slurm.
        name: of the job.
        made_by: the words of the command that made the script.
        logs: folder of the logs, from the repository's root.
        command: the recipe, or `-m launch ablate FILE`, with its arguments.
        launcher: what starts the recipe's processes, with its arguments, for Python.
        done: the file that a finished run has.
        server: `vllm serve` with its arguments, for nodes of its own.
        array: Slurm's --array.
    """

    cluster: Cluster
    name: str
    made_by: list[str]
    logs: Path
    command: list[str]
    launcher: list[str] = field(default_factory=list)
    done: Path | None = None
    server: list[str] = field(default_factory=list)
    array: str | None = None

    def __post_init__(self) -> None:
        """Raises InputError for what would not stay in its place in the script."""
        check_text("the path of the folder that jobs run in", BASE)
        check_text("the path of python", sys.executable)
        check_words([*self.made_by, *self.command, *self.server])
        if "\\" in str(self.logs):
            raise InputError(f"the log folder {self.logs} has a backslash, after which Slurm fills in no job id; give another")

    def render(self) -> str:
        """The script."""
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
            "cluster": self.cluster,
            "root": BASE,
            "python": Path(sys.executable),
            "server_start": SERVER_START,
        }
        return environment.get_template("job.sh").render(**values)

    def submit(self) -> str:
        """Hands the script to sbatch; returns what that says."""
        (BASE / self.logs).mkdir(parents=True, exist_ok=True)
        try:
            done = subprocess.run(["sbatch"], input=self.render(), cwd=BASE, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise InputError("--submit: sbatch is not on this machine; run it on a login node of the cluster") from None
        if done.returncode:
            raise InputError(f"sbatch refused the job: {' '.join(done.stderr.split())}")
        return done.stdout.strip()


def check_text(name: str, value: object) -> None:
    """Raises InputError for a control character: a newline would begin another line of the script."""
    if not str(value).isprintable():
        raise InputError(f"{name} {str(value)!r} has a control character, which cannot be in a batch script; remove it")


def check_words(words: list[str]) -> None:
    """Raises InputError for a command line that cannot be in a batch script.

    A token cannot: whoever may read the script, the queue or the list of processes would have it.
    """
    for option, word in zip(["", *words], words, strict=False):
        where = option if option.startswith("--") and not word.startswith("--") else "argument"
        name = word.partition("=")[0]
        is_token_option = name.startswith("--") and name.endswith(("hub_token", "hub-token"))
        if is_token_option or re.search(r"\bhf_[A-Za-z0-9]{20,}", word):
            where = name if is_token_option else where
            raise InputError(f"{where}: a token does not belong in a batch script; set HF_TOKEN in the environment instead")
        check_text(where, word)


def sbatch_quote(value: object) -> str:
    """A value for an #SBATCH line, as sbatch reads it: a backslash takes what follows as it is, within quotes too."""
    return '"' + re.sub(r'(["\\])', r"\\\1", str(value)) + '"'


def recipe_job(recipe: str, arguments: list[str], cluster: Cluster, accelerate: str | None, made_by: list[str]) -> SlurmJob:
    """A job that runs `accelerate launch RECIPE ARGUMENTS` on all training nodes.

    Raises:
        InputError: for a recipe, config or accelerate config that does not exist, or settings that do not go together.
    """
    cluster.check()
    script = ROOT / recipe
    if script.stem not in RECIPES or script.resolve() != (ROOT / "recipes" / f"{script.stem}.py").resolve():
        raise InputError(f"{recipe}: no such recipe; there are recipes/sft.py, recipes/grpo.py and recipes/star.py")
    names = sorted(path.stem for path in ACCELERATE.glob("*.yaml"))
    if accelerate is None:
        accelerate = "cpu" if not cluster.gpus_per_node else "ddp" if script.stem == "star" else "zero2"
    if accelerate not in names:
        raise InputError(f"--accelerate {accelerate}: there are {', '.join(names)}{nearest(accelerate, names)}")
    if script.stem == "star" and accelerate not in ("cpu", "ddp"):
        raise InputError(f"--accelerate {accelerate}: star.py trains each round anew and shares nothing out; use ddp")
    fields = config_fields(script.stem, arguments)
    out = fields["output_dir"]
    if out is None:
        raise InputError("output_dir is in neither the config nor the arguments; give --output_dir")
    if not isinstance(out, str):
        raise InputError(f"output_dir is {out!r}; it must be the path of a folder")
    check_text("output_dir", out)
    server = []
    if cluster.vllm_nodes:
        if script.stem != "grpo":
            raise InputError(f"--vllm-nodes: {recipe} has no vLLM server mode; leave it out")
        server = serve_command(fields, cluster)
        arguments = [*arguments, "--vllm_mode", "server"]
    processes = max(1, cluster.gpus_per_node) * cluster.nodes
    launcher = ours(f"launch/accelerate/{accelerate}.yaml")
    launch = ["-m", "accelerate.commands.launch", "--config_file", launcher, "--num_machines", str(cluster.nodes)]
    launch += ["--num_processes", str(processes)]
    name = re.sub(r"[^\w.+-]", "-", "-".join([script.stem, *(BASE / out).parent.parts[-1:]]))
    logs, done = Path(out).parent / "slurm", Path(out) / "model.safetensors"
    return SlurmJob(cluster, name, made_by, logs, [ours(recipe), *arguments], launch, done, server)


def ours(path: str) -> str:
    """A file of cotmix as a job names it: relative in a checkout, where the job runs."""
    return path if BASE == ROOT else str(ROOT / path)


def config_fields(recipe: str, arguments: list[str]) -> dict[str, Any]:
    """A recipe's fields from its config and arguments, read by its own parser as it will read them in the job.

    Raises:
        InputError: for a config that is not there, an unknown field, or a value of the wrong type.
    """
    environment = dict(os.environ)
    try:
        with contextlib.chdir(BASE):  # where the job runs
            from recipes.training import config

            parts = importlib.import_module(f"recipes.{recipe}").PARTS
            return config.parse_fields(parts, arguments, str(ROOT / "recipes" / "parity" / f"{recipe}.yaml"))
    finally:  # the recipe prepares for the machine it is on; the job, which inherits the environment, is on another
        os.environ.clear()
        os.environ.update(environment)


def serve_command(fields: dict, cluster: Cluster) -> list[str]:
    """`vllm serve` as TRL 1.16's server mode needs it (trl/scripts/vllm_serve.py): weights over NCCL, processed log-probs."""
    for name in ("model_name_or_path", "vllm_max_model_length"):
        if fields.get(name) is None:
            raise InputError(f"--vllm-nodes: the server needs {name}; set it in the config")
    model, length = fields["model_name_or_path"], fields["vllm_max_model_length"]
    check_text("model_name_or_path", model)
    # TRL's bf16 is on unless it is switched off
    half = compute_dtype({**fields, "bf16": fields["bf16"] is not False}) or fields["dtype"]
    command = ["serve", str(model), "--max-model-len", str(length), "--dtype", half]
    command += ["--tensor-parallel-size", str(cluster.gpus_per_node), "--gpu-memory-utilization", "0.9"]
    command += [
        "--weight-transfer-config",
        '{"backend": "nccl"}',
        "--logprobs-mode",
        "processed_logprobs",
        "--max-logprobs",
        "-1",
    ]
    command += ["--seed", str(fields["seed"])]
    if cluster.vllm_nodes > 1:
        command += ["--pipeline-parallel-size", str(cluster.vllm_nodes), "--nnodes", str(cluster.vllm_nodes)]
    return command


def ablation_job(path: str, cells: int, out: Path, most: int | None, cluster: Cluster, made_by: list[str]) -> SlurmJob:
    """A job array with a task a cell, `most` of them at a time."""
    cluster.check()
    if cluster.nodes > 1 or cluster.vllm_nodes:
        raise InputError("--array-over: a cell runs on one node; leave --nodes and --vllm-nodes out")
    if most is not None and most < 1:
        raise InputError(f"--max-parallel is {most}; it must be at least 1")
    check_text("out", out)
    array = f"0-{cells - 1}" + (f"%{most}" if most else "")
    return SlurmJob(
        cluster,
        "ablate-" + re.sub(r"[^\w.+-]", "-", out.name),
        made_by,
        out / "slurm",
        ["-m", "launch", "ablate", path],
        array=array,
    )
