"""`launch ablate`: shared stages, invalid files, and a real grid that is killed, resumed and repeated."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pyarrow.parquet as pq
import pytest
import yaml

from data_mix import locks
from data_mix.errors import InputError
from eval.generation import machine
from eval.report.table import average_seeds
from launch import ablation, records, scheduler
from launch.__main__ import ablate
from launch.ablation import folder_name, to_arguments
from tests.conftest import ROOT

STAGES = {
    "mixture": {"config": "mixture.yaml", "sources.0.d": 12, "n_train": 512, "n_test": 32},
    "sft": {
        "config": "sft.yaml",
        "max_steps": 2,
        "per_device_train_batch_size": 32,
        "heldout_problems": 4,
        "report_to": "none",
    },
    "grpo": {"config": "grpo.yaml"},
    "star": {"config": "star.yaml"},
}


def write(folder, **fields):
    """Writes an ablation file next to copies of the parity configs."""
    for path in (ROOT / "recipes" / "parity").glob("*.yaml"):
        shutil.copy(path, folder)
    raw = {"out": str(folder / "out"), "grid": {"seed": [0]}, "stages": {n: STAGES[n] for n in ("mixture", "sft")}} | fields
    (folder / "ablation.yaml").write_text(yaml.safe_dump(raw))
    return folder / "ablation.yaml"


def test_cells_with_the_same_upstream_settings_share_stages(tmp_path):
    grid = {"seed": [0, 1], "mixture.p_cot": [0.1, 0.3], "rl.temperature": [1.0, 1.5], "grpo.algorithm": ["grpo", "rloo"]}
    found = ablation.read(write(tmp_path, grid=grid, stages=STAGES))
    stages = [name.split("/")[0] for name in found.jobs]
    counts = {stage: stages.count(stage) for stage in STAGES}
    assert len(found.cells) == 16 and counts == {"mixture": 4, "sft": 4, "grpo": 16, "star": 8}
    assert stages.count("eval") == 4 + 16 + 8
    job = found.jobs["grpo/algorithm=rloo,p_cot=0.1,temperature=1.5,seed=1"]
    assert job.needs == ["mixture/p_cot=0.1,seed=1", "sft/p_cot=0.1,seed=1"]
    words = " ".join(job.command)
    assert "--algorithm rloo" in words and "--temperature 1.5" in words and "--seed 1" in words


def test_rl_starts_from_the_checkpoint_named_in_the_grid(tmp_path):
    found = ablation.read(write(tmp_path, grid={"rl.start": ["checkpoint-5", "checkpoint-10"]}, stages=STAGES))
    assert "sft/all/checkpoint-10" in " ".join(found.jobs["grpo/start=checkpoint-10"].command)
    assert [name for name in found.jobs if name.startswith("sft/")] == ["sft/all"]


def test_values_become_arguments_and_folder_names():
    assert to_arguments({"a": [1, 2], "b": True, "c": {"d": 1}}) == ["--a", "1", "2", "--b", "true", "--c", '{"d": 1}']
    assert folder_name({"rl.start": "checkpoint-5", "mixture.p_cot": 0.5}) == "p_cot=0.5,start=checkpoint-5"
    assert folder_name({}) == "all"


def test_values_that_differ_only_in_punctuation_get_separate_folders(tmp_path):
    found = ablation.read(write(tmp_path, grid={"mixture.prompt_template": ["Q: {prompt}", "Q; {prompt}", "plain"]}))
    assert len(found.cells) == 3 and sum(name.startswith("mixture/") for name in found.jobs) == 3
    assert "mixture/prompt_template=plain" in found.jobs  # a valid name is not changed
    assert all("/" not in name for name in found.cells)


def test_an_axis_is_a_list_or_a_mapping_of_names_to_values(tmp_path):
    forms = {"all": {"long": 1.0}, "half": {"long": 0.5, "short": 0.5}}
    found = ablation.read(write(tmp_path, grid={"mixture.forms": forms, "rl.rewards": [["answer", "format"]]}, stages=STAGES))
    assert list(found.cells) == ["forms=all,rewards=answer+format", "forms=half,rewards=answer+format"]
    assert 'forms={"long": 0.5, "short": 0.5}' in found.jobs["mixture/forms=half"].command
    words = " ".join(found.jobs["star/forms=all,rewards=answer+format"].command)
    assert "--rewards answer format" in words


@pytest.mark.parametrize("path", sorted(str(p) for p in ROOT.glob("recipes/*/*.yaml") if "\ngrid:" in p.read_text()))
def test_every_study_in_recipes_can_be_read(path):
    assert ablation.read(path).cells


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"grid": {"sfft.seed": [0]}}, "must be seed or STAGE.FIELD"),
        ({"grid": {"seed": 0}}, "seed must be a list of values, or a mapping"),
        ({"grid": {"seed": {"a": 7}}}, "seed must be a list of integers"),
        ({"stages": {"sft": STAGES["sft"]}}, "sft needs mixture"),
        ({"stages": {"mixtur": {}}}, "did you mean 'mixture'"),
        ({"evals": {}}, "unknown field 'evals'; did you mean 'eval'"),
        ({"eval": {"../../x": {}}}, "eval: '../../x' is not a valid folder name"),
        ({"eval": {"..": {}}}, "eval: '..' is not a valid folder name"),
        ({"eval": ["greedy"]}, "eval must be a mapping"),
        (
            {"grid": {"sft.model_config": [{"num_hidden_layers": 2}]}},
            "name the values: sft.model_config: {NAME",
        ),
        ({"grid": {"seed": [0, 1, 0]}}, "seed has 0 and 0, which are the same"),
        ({"grid": {"mixture.p_cot": [0.5, "0.5"]}}, "p_cot has 0.5 and '0.5', which are the same"),
        ({"grid": {"mixture.forms": {"a": {"long": 1.0}, "b": {"long": 1.0}}}}, "forms has 'a' and 'b', which are the same"),
        ({"grid": {"sft.a": ["x", "x,b=y"], "sft.b": ["y,b=z", "z"]}}, "two jobs are called sft/a=x,b=y,b=z"),
        ({"grid": {"sft.../../x": [0]}}, "must be seed or STAGE.FIELD"),
    ],
)
def test_an_invalid_file_is_an_error_before_anything_runs(tmp_path, fields, message):
    with pytest.raises(InputError, match=message):
        ablation.read(write(tmp_path, **fields))


def test_seeds_are_averaged_with_their_range():
    rows = [
        {"seed": seed, "p": 0.1, "stage": "sft", "kind": "greedy", "accuracy": value}
        | dict.fromkeys(("p_long", "length_mean", "length_p50", "truncated"), 0.0)
        | dict.fromkeys(("accuracy_long", "accuracy_short"))
        for seed, value in ((0, 0.3), (1, 0.6))
    ]
    [group] = average_seeds(rows, ["p"])
    assert group["seeds"] == 2 and group["accuracy_long"] is None
    assert group["accuracy"] == (pytest.approx(0.45), 0.3, 0.6)
    assert average_seeds(rows[:1], ["p"])[0]["accuracy"] == (0.3, 0.3, 0.3)


def read_metrics(out):
    metrics = {path.parent.name: json.loads(path.read_text()) for path in out.glob("eval/sft/*/metrics.json")}
    return {name: {key: value for key, value in fields.items() if key != "model"} for name, fields in metrics.items()}


def processes_of(folder) -> list[str]:
    return subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True, check=False).stdout.split()


@pytest.mark.slow
def test_a_grid_survives_a_kill_and_a_failing_cell_and_is_reproducible(command, tmp_path):
    grid = {"seed": [0], "mixture.n_train": [200, 5000, 400]}  # there are 4,096 problems
    file, out = write(tmp_path, grid=grid, eval={"greedy": {"problems": 8}}), tmp_path / "out"
    jobs = min(2, len(os.sched_getaffinity(0)))
    line = [sys.executable, "-m", "launch", "ablate", str(file), "--jobs", str(jobs)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    runner = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(out.glob("sft/*/model.safetensors")):
        assert runner.poll() is None
        time.sleep(0.05)
    children = psutil.Process(runner.pid).children(recursive=True)
    assert len(children) > 1  # a fork server and its job
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    time.sleep(0.5)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert not processes_of(out)
    finished = {path: path.stat().st_mtime_ns for path in out.glob("sft/*/model.safetensors")}

    done = command("-m", "launch", "ablate", file, "--jobs", jobs, check=False)
    assert done.returncode == 1 and "FAILED mixture/n_train=5000" in done.stdout and "skipped sft/n_train=5000" in done.stdout
    logs = [path.read_text() for path in out.glob("logs/*/*.log")]
    # what triton prints when a fork server or its child exits
    assert not any("leaked" in text for text in (done.stderr, *logs))
    assert finished == {path: path.stat().st_mtime_ns for path in finished}
    table = pq.read_table(out / "table.parquet").to_pylist()
    assert sorted(row["mixture.n_train"] for row in table) == [200, 400]
    assert "2 of 3 evals are done" in (out / "table.md").read_text() and (out / "figures" / "n_train.png").is_file()
    assert (out / "cells" / "n_train=400,seed=0" / "eval" / "sft" / "metrics.json").is_file()

    first = read_metrics(out)
    shutil.rmtree(out / "eval")
    shutil.rmtree(out / "sft")
    command("-m", "launch", "ablate", file, "--jobs", jobs, check=False)
    assert len(first) == 2 and read_metrics(out) == first

    changed = yaml.safe_load(file.read_text())
    changed["stages"]["sft"]["max_steps"] = 3
    file.write_text(yaml.safe_dump(changed))
    refused = command("-m", "launch", "ablate", file, check=False)
    assert refused.returncode == 2 and "was made by another command" in refused.stderr


# Stands in for a recipe that is interrupted: it appends a line to its log and fails.
INTERRUPTED = """#!/bin/bash
while [ "$1" != --output_dir ]; do shift; done
mkdir -p "$2" && echo step >> "$2/log.jsonl"
exit 1
"""


def write_interrupted(folder, seeds=(0,), **fields):
    """Writes an ablation of SFT runs that never finish, with finished mixtures; returns its file and the first run's log."""
    script = folder.parent / "interrupted.sh"
    script.write_text(INTERRUPTED)
    script.chmod(0o755)
    path = write(folder, launcher=str(script), grid={"seed": list(seeds)}, **fields)
    for seed in seeds:
        mixture = folder / "out" / "mixture" / f"seed={seed}"
        mixture.mkdir(parents=True)
        (mixture / "manifest.json").touch()
    return path, folder / "out" / "sft" / "seed=0" / "log.jsonl"


def test_an_unfinished_run_of_another_command_is_refused_and_kept(command, tmp_path):
    path, log = write_interrupted(tmp_path)
    assert command("-m", "launch", "ablate", path, check=False).returncode == 1 and log.read_text() == "step\n"
    path.write_text(path.read_text().replace("max_steps: 2", "max_steps: 3"))
    refused = command("-m", "launch", "ablate", path, check=False)
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert "was made by another command (--max_steps 2; now --max_steps 3)" in refused.stderr
    assert log.read_text() == "step\n"


def test_results_of_other_settings_are_not_mixed(tmp_path):
    """A config that was edited, or a stage that was made with other settings after its folder was moved away."""
    path, _ = write_interrupted(tmp_path)
    config = path.parent / "sft.yaml"
    grid = ablation.read(str(path))

    def check():
        records.check_folders(grid, records.make_records(grid))

    def finish(job):
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / job.marker).touch()
        record = records.log_path(grid, job, "json")
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(records.make_records(grid)[job.name]))

    for job in grid.jobs.values():
        finish(job)
    check()
    config.write_text("# on another node\nvllm_server_port: 9000\n" + config.read_text())
    check()
    sft, evaluation = grid.jobs["sft/seed=0"], grid.jobs["eval/sft/seed=0"]
    config.write_text(config.read_text() + "weight_decay: 0.5\n")
    with pytest.raises(InputError, match=rf"from another config \(weight_decay: None; now 0.5\).*{evaluation.folder}"):
        check()
    sft.folder.rename(tmp_path / "away")
    with pytest.raises(InputError, match=f"{evaluation.folder} was made from another sft/seed=0; .*move the folder away"):
        check()
    evaluation.folder.rename(tmp_path / "away too")
    check()
    finish(sft)
    finish(evaluation)
    config.write_text(config.read_text().replace("0.5", "0.25"))
    records.log_path(grid, sft, "json").unlink()
    records.log_path(grid, evaluation, "json").write_text(json.dumps(evaluation.command[1:]))  # as older versions did
    check()


def test_a_job_whose_config_changes_while_the_ablation_runs_does_not_start(tmp_path, capsys):
    path, log = write_interrupted(tmp_path)
    grid = ablation.read(str(path))
    made_from = records.make_records(grid)
    config = path.parent / "sft.yaml"
    config.write_text(config.read_text() + "weight_decay: 0.5\n")
    assert scheduler.run(grid, 1, made_from) == ["sft/seed=0", "eval/sft/seed=0"]
    assert "sft.yaml has changed since the ablation started; run the command again" in capsys.readouterr().out
    assert not log.exists() and not records.log_path(grid, grid.jobs["sft/seed=0"], "json").exists()


def test_jobs_that_would_share_gpus_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    with pytest.raises(InputError, match="--jobs is 2, but jobs would share the GPUs"):
        ablate(str(write(tmp_path)), 2, dry_run=True, cell=None)


def test_runs_resume_despite_corrupt_records(command, tmp_path):
    broken = ["", '["recip', "3", "null"]
    path, _ = write_interrupted(tmp_path, range(4))
    records = [tmp_path / "out" / "logs" / "sft" / f"seed={seed}.json" for seed in range(4)]
    logs = [tmp_path / "out" / "sft" / f"seed={seed}" / "log.jsonl" for seed in range(4)]
    for record, log, text in zip(records, logs, broken, strict=True):
        record.parent.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True)
        record.write_text(text)
        log.write_text("step\n")
    done = command("-m", "launch", "ablate", path, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    for seed, (record, log) in enumerate(zip(records, logs, strict=True)):
        assert f"FAILED sft/seed={seed}" in done.stdout
        assert log.read_text() == "step\nstep\n" and "--max_steps" in json.loads(record.read_text())["command"]


@pytest.mark.slow
def test_moving_the_checkout_or_spelling_its_path_differently_is_the_same_command(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for package in ("data_mix", "eval", "launch"):
        shutil.copytree(ROOT / package, first / package, ignore=shutil.ignore_patterns("__pycache__"))
    path, log = write_interrupted(first, out="out")

    def ablate(checkout, name):
        line = [sys.executable, "-m", "launch", "ablate", name]
        done = subprocess.run(line, cwd=checkout, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "FAILED sft/seed=0" in done.stdout, done.stderr
        return (checkout / log.relative_to(first)).read_text().count("step")

    assert ablate(first, path.name) == 1
    assert ablate(first, str(path)) == 2
    record = first / "out" / "logs" / "sft" / "seed=0.json"
    assert str(tmp_path / "first") not in record.read_text()
    words = json.loads(record.read_text())["command"]
    record.write_text(json.dumps([str(first / word) if word.startswith(("recipes", "sft.yaml")) else word for word in words]))
    assert ablate(first, path.name) == 3  # older versions recorded absolute paths
    first.rename(second)
    (tmp_path / "link").symlink_to(second)
    assert ablate(second, path.name) == 4
    assert ablate(tmp_path / "link", str(tmp_path / "link" / path.name)) == 5


@pytest.mark.parametrize("shared", [False, True])
def test_a_locked_folder_is_refused_and_the_holder_named(command, tmp_path, shared):
    path, _ = write_interrupted(tmp_path)
    locks.lock(tmp_path / "out").close()  # a stale lock
    (tmp_path / "out" / locks.NAME).write_text((tmp_path / "out" / locks.NAME).read_text().replace(str(os.getpid()), "1"))
    with locks.lock(tmp_path / "out", shared=shared):
        refused = command("-m", "launch", "ablate", path, check=False)
        assert refused.returncode == 2 and f"out is in use by process {os.getpid()} on" in refused.stderr
        cell = command("-m", "launch", "ablate", path, "--cell", 0, check=False)
        assert cell.returncode == (1 if shared else 2)


@pytest.mark.slow
def test_a_killed_scheduler_leaves_no_launcher_process(tmp_path):
    launcher = f"{os.path.dirname(sys.executable)}/accelerate launch --config_file launch/accelerate/cpu.yaml --num_processes 1"
    stages = {n: STAGES[n] for n in ("mixture", "sft")}
    stages["sft"] = {**stages["sft"], "max_steps": 3000, "save_strategy": "steps", "save_steps": 1000}
    path = write(tmp_path, stages=stages, launcher=launcher)
    line = [sys.executable, "-m", "launch", "ablate", str(path)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    runner = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run = tmp_path / "out" / "sft" / "seed=0"
    while not (run / "log.jsonl").is_file() or run.joinpath("log.jsonl").read_text().count("\n") < 2:
        assert runner.poll() is None
        time.sleep(0.05)
    runner.kill()
    runner.wait()
    deadline = time.monotonic() + 20
    while (left := processes_of(run)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in left:
        os.kill(int(process), signal.SIGKILL)
    assert not left
    assert list(run.glob("checkpoint-*/complete"))  # it received SIGTERM and saved


@pytest.mark.slow
def test_two_concurrent_cells_share_stages(tmp_path):
    """Like tasks of a job array: the first to come builds the mixture, once; the last to finish writes the report."""
    path = write(tmp_path, grid={"sft.learning_rate": [1e-3, 1e-4]}, eval={"greedy": {"max_truncated": 1.0}})
    line = [sys.executable, "-m", "launch", "ablate", str(path), "--cell"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    both = [subprocess.Popen([*line, str(cell)], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) for cell in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("] mixture/all: " in output for output in outputs) == 1
    assert all("1 cells, 3 jobs" in output for output in outputs)
    assert len(list((tmp_path / "out").glob("cells/*/eval/sft/metrics.json"))) == 2
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.slow
def test_on_sigterm_the_recipe_of_a_cell_saves_a_checkpoint(tmp_path):
    stages = {**{n: STAGES[n] for n in ("mixture", "sft")}}
    stages["sft"] = {**stages["sft"], "max_steps": 3000, "save_strategy": "steps", "save_steps": 1000}
    path = write(tmp_path, stages=stages)
    line = [sys.executable, "-m", "launch", "ablate", str(path), "--cell", "0"]
    process = subprocess.Popen(line, cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    run = tmp_path / "out" / "sft" / "seed=0"
    while not (run / "log.jsonl").is_file() or run.joinpath("log.jsonl").read_text().count("\n") < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    assert process.wait() == 130
    assert [path.parent.name for path in run.glob("checkpoint-*/complete")] and not (run / "model.safetensors").exists()
