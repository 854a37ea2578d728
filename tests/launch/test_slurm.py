"""On a real Slurm with two nodes: multi-node runs, a job array, and interrupted jobs that resume with identical results."""

import contextlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from safetensors.torch import load_file

from tests import cluster
from tests.conftest import ROOT, figures, read_log, skip

# Jobs are not forked from a process that has imported the libraries: these alone take half a minute on a slow machine
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2700)]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    problem = cluster.missing_requirement()
    if problem:
        skip(f"no Slurm here: {problem}")
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(cluster.start(tmp_path_factory.mktemp("slurm")))
        except RuntimeError as error:
            skip(f"no Slurm here: {error}")
        yield running


@pytest.fixture(scope="module")
def submit(slurm, forked):
    """Runs `python -m launch slurm ARGUMENTS --submit`; returns the job id."""

    def run(*arguments) -> str:
        line = ["-m", "launch", "slurm", *map(str, arguments), "--submit"]
        # Slurm passes the environment on: its jobs' processes are not forked
        program = forked.start(line, ROOT, {**slurm.env, "HF_HUB_OFFLINE": "1", "PYTHON_EXEC": sys.executable})
        out, errors = program.communicate()
        assert program.returncode == 0, errors
        return out.split()[-1]

    return run


def log_of(out) -> str:
    """The log of the batch script, without the run's own output, of the job that writes to `out`."""
    return "".join(path.read_text() for path in (out.parent / "slurm").glob("*.log") if "attempt" not in path.name)


def same_weights(one, other):
    one, other = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def sft(parity_run):
    size = ["--max_steps", 60, "--per_device_train_batch_size", 64, "--heldout_problems", 4, "--logging_steps", 1]
    saves = ["--save_strategy", "steps", "--save_steps", 10, "--report_to", "none"]
    return ["recipes/sft.py", "--mixture", parity_run / "mixture", *size, *saves]


def grpo(parity_run):
    start = ["--mixture", parity_run / "mixture", "--model_name_or_path", parity_run / "sft"]
    size = ["--max_steps", 40, "--per_device_train_batch_size", 64, "--heldout_problems", 8]
    return ["recipes/grpo.py", *start, *size, "--save_strategy", "steps", "--save_steps", 5, "--report_to", "none"]


ONE_CORE = ["--gpus-per-node", 0, "--cpus-per-node", 1]


def test_training_on_two_nodes_with_ddp_and_zero2(slurm, submit, parity_run, tmp_path):
    both = {}
    for config in ("cpu", "zero2"):
        out = both[config] = tmp_path / config / "sft"
        nodes = ["--nodes", 2, "--gpus-per-node", 0, "--accelerate", config, "--time", 60]
        size = ["--max_steps", 8, "--per_device_train_batch_size", 16, "--heldout_problems", 4, "--logging_steps", 1]
        where = ["--mixture", parity_run / "mixture", "--output_dir", out, "--report_to", "none"]
        job = submit("recipes/sft.py", *nodes, *where, *size)
        assert slurm.wait_for_end(job, 1200) == "COMPLETED", log_of(out)  # DeepSpeed may compile first
        assert "attempt 0: starting on n[1-2]" in log_of(out) and "attempt 0: finished" in log_of(out)
    losses = [[e["loss"] for e in read_log(out) if "loss" in e] for out in both.values()]
    assert len(losses[0]) == 8 and losses[0] == pytest.approx(losses[1], abs=1e-4)
    alone = tmp_path / "alone"  # one process with the global batch
    line = [sys.executable, *map(str, ["recipes/sft.py", "--output_dir", alone, *where[:2], *where[4:], *size])]
    line[line.index("16")] = "32"
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert losses[0] == pytest.approx([e["loss"] for e in read_log(alone) if "loss" in e], abs=1e-4)


def test_an_ablation_is_a_job_array(slurm, submit, tmp_path):
    ablation = tmp_path / "grid.yaml"
    study = ROOT / "recipes" / "parity"
    tiny = {"max_steps": 4, "per_device_train_batch_size": 16, "heldout_problems": 2, "report_to": "none"}
    stages = {
        "mixture": {"config": str(study / "mixture.yaml"), "n_train": 256, "n_test": 8},
        "sft": {"config": str(study / "sft.yaml"), **tiny},
    }
    grid = {"seed": [0, 1], "mixture.p_cot": [0.1, 0.4]}
    out = tmp_path / "runs" / "grid"
    ablation.write_text(
        json.dumps({"out": str(out), "grid": grid, "stages": stages, "eval": {"greedy": {"max_truncated": 1.0}}})
    )
    job = submit("--array-over", ablation, "--max-parallel", 2, *ONE_CORE, "--time", 60)
    assert slurm.wait_for_end(job, 1200) == "COMPLETED"
    assert len(list(out.glob("cells/*/sft/model.safetensors"))) == 4
    assert len(list(out.glob("cells/*/eval/sft/metrics.json"))) == 4
    assert (out / "report.html").is_file()


def test_special_characters_in_folder_names(slurm, submit, tmp_path):
    out = tmp_path / "%j 'q' \"$HOME\" `x` #" / "sft"
    job = submit("recipes/sft.py", *ONE_CORE, "--time", 5, "--mixture", tmp_path / "none", "--output_dir", out)
    assert slurm.wait_for_end(job) == "FAILED" and "error: failed with status" in log_of(out)
    [attempt] = (out.parent / "slurm").glob(f"*-{job}.attempt-0.log")
    assert "not a mixture folder" in attempt.read_text()


def serve(submit, out, arguments) -> str:
    """Submits a GRPO job with a vLLM server on the second node; returns its id."""
    return submit(*arguments, "--vllm-nodes", 1, *ONE_CORE, "--time", 60, "--output_dir", out)


def test_rollouts_from_a_server_that_is_killed_and_through_the_time_limit(slurm, submit, parity_run, tmp_path):
    out = tmp_path / "server" / "grpo"
    job = serve(submit, out, grpo(parity_run))

    def wait(happened):
        while not happened():
            assert not slurm.has_ended(job), log_of(out)
            time.sleep(0.1)

    wait((out / "checkpoint-10" / "complete").is_file)
    kill(slurm, job, out, "vllm")
    wait((out / "checkpoint-20" / "complete").is_file)
    reach_time_limit(slurm, job, out)
    assert slurm.wait_for_end(job, 2400) == "COMPLETED", log_of(out)
    log = log_of(out)
    for event in ("vLLM answers at", "has exited: starting it again", "shutdown requested: saving", "attempt 1: starting"):
        assert event in log
    assert "attempt 1: finished" in log  # then srun says that the server has been stopped
    assert [entry["step"] for entry in read_log(out) if "reward" in entry] == list(range(1, 41))
    assert (out / "model.safetensors").is_file() and not list((out.parent / "grpo.server").glob("weights/*"))
    token = (out.parent / "grpo.server" / "token").read_text()
    assert not any(token in path.read_text(errors="replace") for path in (out.parent / "slurm").iterdir())


def test_a_failing_vllm_server_fails_the_job_with_a_message(slurm, submit, parity_run, tmp_path):
    out = tmp_path / "server" / "grpo"
    job = serve(submit, out, [*grpo(parity_run), "--model_name_or_path", tmp_path / "no model"])
    assert slurm.wait_for_end(job) == "FAILED"
    assert "error: vLLM exited before it answered http://" in log_of(out)
    assert not list((out.parent / "slurm").glob("*attempt-0.log"))  # the trainer did not start


def requeue(slurm, job, out):
    slurm.ask("scontrol", "requeue", job)


def kill(slurm, job, out, name="train"):
    lines = slurm.ask("squeue", "--steps", "--noheader", "--jobs", job, "--format=%i %j").splitlines()
    [step] = [line.split()[0] for line in lines if line.split()[1] == name]
    slurm.ask("scancel", "--signal=KILL", step)


def reach_time_limit(slurm, job, out):
    """A run is told to save 300 s before its limit: now, within half a minute (Slurm's checks). It is suspended until then."""
    run = f"^[^ ]*python[^ ]* .*recipes/.*{out}"
    subprocess.run(["pkill", "-STOP", "--full", run], check=True)
    minutes = int(slurm.ask("squeue", "--noheader", "--jobs", job, "--format=%M").split(":")[0])
    slurm.ask("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes + 5}")
    while "shutdown requested" not in log_of(out):
        assert not slurm.has_ended(job), log_of(out)
        time.sleep(0.1)
    subprocess.run(["pkill", "-CONT", "--full", run], check=True)
    while slurm.state(job) != "PENDING":
        time.sleep(0.1)
    slurm.ask("scontrol", "update", f"JobId={job}", "TimeLimit=60")


RECIPES = {"sft": sft, "grpo": grpo}
INTERRUPTIONS = {"requeue": requeue, "kill": kill, "time limit": reach_time_limit}
# Not every combination, since each start imports all libraries; tests/recipes/test_resume.py interrupts both without Slurm
CASES = [("sft", "requeue"), ("sft", "time limit"), ("grpo", "kill"), ("grpo", "time limit")]


@pytest.fixture(scope="module")
def runs(slurm, submit, parity_run, tmp_path_factory):
    """Runs each recipe without an interruption, and the cases, all in one queue; returns (recipe, interruption) → folder."""
    folder = tmp_path_factory.mktemp("runs")
    jobs = {}
    slurm.ask("scontrol", "update", "PartitionName=cpu", "State=DOWN")  # until all are submitted, which takes a minute
    for name, interruption in [*((name, None) for name in RECIPES), *CASES]:
        out = folder / f"{name}-{interruption}" / "run"
        line = RECIPES[name](parity_run)
        jobs[name, interruption] = submit(*ONE_CORE, "--time", 60, *line, "--output_dir", out), out
    slurm.ask("scontrol", "update", "PartitionName=cpu", "State=UP")

    def interrupt(key):
        job, out = jobs[key]
        while not (out / "checkpoint-20" / "complete").is_file():
            assert not slurm.has_ended(job), log_of(out)
            time.sleep(0.3)
        INTERRUPTIONS[key[1]](slurm, job, out)

    with ThreadPoolExecutor() as pool:
        list(pool.map(interrupt, [key for key in jobs if key[1]]))
    for job, out in jobs.values():
        assert slurm.wait_for_end(job, 2400) == "COMPLETED", log_of(out)
    return {key: out for key, (_, out) in jobs.items()}


@pytest.mark.parametrize(("name", "interruption"), CASES)
def test_an_interrupted_job_requeues_itself_and_gives_identical_results(runs, name, interruption):
    out, uninterrupted = runs[name, interruption], runs[name, None]
    log = log_of(out)
    assert "attempt 1: starting" in log and log.rstrip().endswith("finished")
    assert ("shutdown requested: saving" in log) == (interruption == "time limit")
    assert "attempt 1" not in log_of(uninterrupted)
    first, second = (next((out.parent / "slurm").glob(f"*attempt-{n}.log")).read_text(errors="replace") for n in range(2))
    assert ("as requested; the same command resumes it" in first) == (interruption != "kill")  # it saved first
    assert "resuming after step" in second
    assert figures(out) == figures(uninterrupted)
    assert same_weights(out, uninterrupted)
