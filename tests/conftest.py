"""What the tests share: the real data beside the checkout, commands run as a user runs them, and a tiny random Llama."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build
from eval.generation import machine
from tests.forked import ForkServer

# Before anything imports torch; the commands that the tests start inherit it.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):  # "gw0", "gw1", ...: each has its share of the cores
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[int(worker[2:]) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])] or cores)
# As in an activated environment: with one ninja here and Debian's there, DeepSpeed's extension is compiled again each time.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")  # vLLM compiles a function of its sampler: 2 s per process
machine.prepare()

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
LAUNCH = ["-m", "accelerate.commands.launch", "--config_file", "launch/accelerate/cpu.yaml", "--main_process_port", 0]


def skip(reason: str) -> NoReturn:
    """Skips a test that needs more of the machine than Python packages; with CI=true it fails instead."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; with CI=true this test must run: as root, after `make test-deps`", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with real GSM8K, MATH and others, as ../shared/data beside the checkout."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is absent: the real datasets are not part of the repository")
    return DATA


@pytest.fixture(scope="session")
def forked(tmp_path_factory):
    """Where recipes and evals are forked from a process that has imported the libraries; see tests/forked.py."""
    server = ForkServer(tmp_path_factory.mktemp("forked"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def command(forked):
    """Runs `python ARGS` as a user would, by default in the repository root; returns the finished process with its output.

    Programs that import torch are forked (see tests/forked.py), since their imports would take most of the time. `fresh=True`
    starts Python anew, `fresh=False` forks any program.
    """

    def run(
        *args: object, check: bool = True, cwd: Path = ROOT, fresh: bool | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        words, env = [*map(str, args)], {"HF_HUB_OFFLINE": "1", **env}
        if imports_torch(words) if fresh is None else not fresh:
            program = forked.start(words, cwd, env)
            done = subprocess.CompletedProcess(words, program.wait(), *program.communicate())
        else:
            line = [sys.executable, *words]
            done = subprocess.run(line, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        return done

    return run


def imports_torch(words: list[str]) -> bool:
    """Whether the program `python WORDS` is a recipe, also one that a test has patched (`-c`), its checks, an evaluation or a
    launcher."""
    if words[0] == "-m":
        checks_or_evaluates = words[1:3] in (["eval", "run"], ["launch", "check"])
        return checks_or_evaluates or words[1] in ("tests.killed", "accelerate.commands.launch")
    return re.search(r"recipes/(sft|grpo|star)\.py", " ".join(words[:2])) is not None


@pytest.fixture(scope="session")
def start(forked):
    """Starts `python ARGS` in the repository root, forked as in `command`; returns the running program."""
    return lambda *args: forked.start([*map(str, args)], ROOT, {"HF_HUB_OFFLINE": "1"})


@pytest.fixture(scope="session")
def llama(tmp_path_factory) -> dict[str, str]:
    """Tiny random Llamas with Llama 3's special tokens: `base` (no chat template) and `instruct` (Llama 3's template)."""
    from tests.tiny_llama import save_tiny_llama

    folder = tmp_path_factory.mktemp("llama")
    return {kind: save_tiny_llama(folder / kind, instruct=kind == "instruct") for kind in ("base", "instruct")}


@pytest.fixture(scope="session")
def word_problems(tmp_path_factory):
    """Ten plain and chat word problems, as the GSM8K and MATH recipes take them."""
    source = tmp_path_factory.mktemp("source")
    for split in ("train", "test"):
        lines = [
            {"question": f"{split}: what is {i} + 1?", "answer": f"{i} + 1 = <<{i}+1={i + 1}>>{i + 1}\n#### {i + 1}"}
            for i in range(10)
        ]
        (source / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    folders = {}
    template = "Question: {prompt}\nAnswer:\n"
    for kind, form in (
        ("base", {"prompt_format": "plain", "prompt_template": template}),
        ("instruct", {"prompt_format": "chat"}),
    ):
        folders[kind] = source / kind
        sources = [{"task": "gsm8k", "path": str(source)}]
        build(parse_config({"p_cot": 0.5, "n_train": None, "n_test": 10, "sources": sources, **form}), str(folders[kind]))
    return folders


@pytest.fixture(scope="session")
def parity_run(command, tmp_path_factory) -> Path:
    """A run folder with a parity mixture (d = 16) and `sft/`, a model trained on it for a few steps."""
    run = tmp_path_factory.mktemp("parity")
    raw = {"p_cot": 0.25, "n_train": 3000, "n_test": 64, "sources": [{"task": "parity", "d": 16}]}
    build(parse_config(raw), str(run / "mixture"))
    small = ["--max_steps", 30, "--per_device_train_batch_size", 64, "--heldout_problems", 8, "--report_to", "none"]
    command("recipes/sft.py", "--mixture", run / "mixture", "--output_dir", run / "sft", *small)
    return run


def read_log(folder: Path) -> list[dict]:
    """The entries of a run's log.jsonl."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def figures(folder: Path) -> list[dict]:
    """What log.jsonl says of each step, without its clock."""
    clock = ("seconds", "step_time", "generate_time", "train_runtime", "train_samples_per_second", "train_steps_per_second")
    return [{k: v for k, v in entry.items() if k not in clock} for entry in read_log(folder) if "train_loss" not in entry]
