"""`launch ablate`: what cells share, wrong files, and a real grid that is killed, started again and run a second time."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
import yaml

from data_mix import locks
from data_mix.errors import InputError
from eval.report.table import half_width, over_seeds
from launch import ablation
from launch.ablation import arguments_of, name_of
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
    """An ablation file beside copies of the parity configs."""
    for path in (ROOT / "recipes" / "parity").glob("*.yaml"):
        shutil.copy(path, folder)
    raw = {"out": str(folder / "out"), "grid": {"seed": [0]}, "stages": {n: STAGES[n] for n in ("mixture", "sft")}} | fields
    (folder / "ablation.yaml").write_text(yaml.safe_dump(raw))
    return folder / "ablation.yaml"


def test_cells_share_the_stages_that_do_not_depend_on_what_tells_them_apart(tmp_path):
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


def test_rl_starts_from_the_checkpoint_that_the_grid_names(tmp_path):
    found = ablation.read(write(tmp_path, grid={"rl.start": ["checkpoint-5", "checkpoint-10"]}, stages=STAGES))
    assert "sft/all/checkpoint-10" in " ".join(found.jobs["grpo/start=checkpoint-10"].command)
    assert [name for name in found.jobs if name.startswith("sft/")] == ["sft/all"]


def test_values_become_arguments_and_names():
    assert arguments_of({"a": [1, 2], "b": True, "c": {"d": 1}}) == ["--a", "1", "2", "--b", "true", "--c", '{"d": 1}']
    assert (
        name_of({"rl.start": "checkpoint-5", "mixture.p_cot": 0.5}) == "p_cot=0.5,start=checkpoint-5" and name_of({}) == "all"
    )


def test_values_that_differ_in_punctuation_alone_have_folders_of_their_own(tmp_path):
    found = ablation.read(write(tmp_path, grid={"mixture.prompt_template": ["Q: {prompt}", "Q; {prompt}", "plain"]}))
    assert len(found.cells) == 3 and sum(name.startswith("mixture/") for name in found.jobs) == 3
    assert "mixture/prompt_template=plain" in found.jobs  # a name that needs no change stays
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
    ("fields", "said"),
    [
        ({"grid": {"sfft.seed": [0]}}, "must be seed or STAGE.FIELD"),
        ({"grid": {"seed": 0}}, "seed must be a list of values, or a mapping"),
        ({"stages": {"sft": STAGES["sft"]}}, "sft needs mixture"),
        ({"stages": {"mixtur": {}}}, "did you mean 'mixture'"),
        ({"stages": {"mixture": {"config": "no.yaml"}}}, "no such file beside"),
        ({"evals": {}}, "unknown field 'evals'; did you mean 'eval'"),
        ({"launcher": "acelerate launch"}, "launcher: 'acelerate launch' is no command here"),
        ({"out": 3}, "out is 3; it must be the path of a folder"),
        ({"eval": {"../../x": {}}}, "eval: '../../x' names folders"),
        ({"eval": {"..": {}}}, "eval: '..' names folders"),
        ({"eval": ["greedy"]}, "eval must be a mapping"),
        ({"grid": {"seed": [0, 1, 0]}}, "seed has 0 and 0, which are the same"),
        ({"grid": {"mixture.p_cot": [0.5, "0.5"]}}, "p_cot has 0.5 and '0.5', which are the same"),
        ({"grid": {"mixture.forms": {"a": {"long": 1.0}, "b": {"long": 1.0}}}}, "forms has 'a' and 'b', which are the same"),
        ({"grid": {"sft.a": ["x", "x,b=y"], "sft.b": ["y,b=z", "z"]}}, "two jobs are called sft/a=x,b=y,b=z"),
        ({"grid": {"sft.../../x": [0]}}, "must be seed or STAGE.FIELD"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_runs(tmp_path, fields, said):
    with pytest.raises(InputError, match=said):
        ablation.read(write(tmp_path, **fields))


def test_seeds_are_averaged_with_their_interval():
    rows = [
        {"seed": seed, "p": 0.1, "stage": "sft", "kind": "greedy", "accuracy": value}
        | dict.fromkeys(("p_long", "length_mean", "length_p50", "truncated"), 0.0)
        | dict.fromkeys(("accuracy_long", "accuracy_short"))
        for seed, value in ((0, 0.4), (1, 0.6))
    ]
    [group] = over_seeds(rows, ["p"])
    assert group["seeds"] == 2 and group["accuracy"][0] == pytest.approx(0.5) and group["accuracy_long"] is None
    assert half_width([0.4, 0.6]) == pytest.approx(12.706 * 0.1) and half_width([0.4]) == 0


def read_metrics(out):
    found = {}
    for path in sorted(out.glob("eval/sft/*/metrics.json")):
        found[path.parent.name] = {k: v for k, v in json.loads(path.read_text()).items() if k != "model"}
    return found


def test_a_grid_survives_a_kill_and_a_cell_that_fails_and_gives_the_same_again(command, tmp_path):
    grid = {"seed": [0], "mixture.p_cot": [0.25, 1.5, 0.5]}  # 1.5 is no share
    file, out = write(tmp_path, grid=grid, eval={"greedy": {"problems": 8}}), tmp_path / "out"
    jobs = min(2, len(os.sched_getaffinity(0)))
    line = [sys.executable, "-m", "launch", "ablate", str(file), "--jobs", str(jobs)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    runner = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(out.glob("sft/*/model.safetensors")):
        assert runner.poll() is None
        time.sleep(0.05)
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    time.sleep(0.5)
    left = subprocess.run(["pgrep", "-f", str(out)], capture_output=True, text=True, check=False).stdout.split()
    assert not left  # its children ended with it
    finished = {path: path.stat().st_mtime_ns for path in out.glob("sft/*/model.safetensors")}

    done = command("-m", "launch", "ablate", file, "--jobs", jobs, check=False)
    assert done.returncode == 1 and "FAILED mixture/p_cot=1.5,seed=0" in done.stdout and "skipped sft/p_cot=1.5" in done.stdout
    assert finished == {path: path.stat().st_mtime_ns for path in finished}
    table = pq.read_table(out / "table.parquet").to_pylist()
    assert sorted(row["mixture.p_cot"] for row in table) == [0.25, 0.5]
    assert "2 of 3 evals are done" in (out / "table.md").read_text() and (out / "figures" / "p_cot.png").is_file()
    assert (out / "cells" / "p_cot=0.5,seed=0" / "eval" / "sft" / "metrics.json").is_file()

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


# Stands for a recipe that is interrupted: it adds a line to its log, and ends.
HALF = """#!/bin/bash
while [ "$1" != --output_dir ]; do shift; done
mkdir -p "$2" && echo step >> "$2/log.jsonl"
exit 1
"""


def half(folder, **fields):
    """An ablation file of one SFT run that never gets to its end, on a mixture that is there."""
    script = folder.parent / "half.sh"
    script.write_text(HALF)
    script.chmod(0o755)
    path = write(folder, launcher=str(script), **fields)
    mixture = folder / "out" / "mixture" / "seed=0"
    mixture.mkdir(parents=True)
    (mixture / "manifest.json").touch()
    return path, folder / "out" / "sft" / "seed=0" / "log.jsonl"


def test_an_unfinished_run_of_another_command_is_refused_and_kept(command, tmp_path):
    path, log = half(tmp_path)
    assert command("-m", "launch", "ablate", path, check=False).returncode == 1 and log.read_text() == "step\n"
    path.write_text(path.read_text().replace("max_steps: 2", "max_steps: 3"))
    refused = command("-m", "launch", "ablate", path, check=False)
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert "was made by another command (--max_steps 2; now --max_steps 3)" in refused.stderr
    assert log.read_text() == "step\n"


@pytest.mark.parametrize("broken", ["", '["recip', "3", "null"])
def test_a_record_that_a_crash_has_broken_does_not_keep_a_run_from_going_on(command, tmp_path, broken):
    path, log = half(tmp_path)
    record = tmp_path / "out" / "logs" / "sft" / "seed=0.json"
    record.parent.mkdir(parents=True)
    record.write_text(broken)
    log.parent.mkdir(parents=True)
    log.write_text("step\n")
    done = command("-m", "launch", "ablate", path, check=False)
    assert done.returncode == 1 and "FAILED sft/seed=0" in done.stdout and "Traceback" not in done.stderr
    assert log.read_text() == "step\nstep\n" and "--max_steps" in json.loads(record.read_text())


def test_a_checkout_that_has_moved_or_another_spelling_of_its_path_is_the_same_command(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for package in ("data_mix", "eval", "launch"):
        shutil.copytree(ROOT / package, first / package, ignore=shutil.ignore_patterns("__pycache__"))
    path, log = half(first, out="out")

    def ablate(checkout, name):
        line = [sys.executable, "-m", "launch", "ablate", name]
        done = subprocess.run(line, cwd=checkout, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "FAILED sft/seed=0" in done.stdout, done.stderr
        return (checkout / log.relative_to(first)).read_text().count("step")

    assert ablate(first, path.name) == 1
    assert ablate(first, str(path)) == 2
    record = first / "out" / "logs" / "sft" / "seed=0.json"
    assert str(tmp_path / "first") not in record.read_text()
    words = json.loads(record.read_text())
    record.write_text(json.dumps([str(first / word) if word.startswith(("recipes", "sft.yaml")) else word for word in words]))
    assert ablate(first, path.name) == 3  # as older versions recorded it
    first.rename(second)
    (tmp_path / "link").symlink_to(second)
    assert ablate(second, path.name) == 4
    assert ablate(tmp_path / "link", str(tmp_path / "link" / path.name)) == 5


@pytest.mark.parametrize("shared", [False, True])
def test_who_has_the_folder_is_named(command, tmp_path, shared):
    path, _ = half(tmp_path)
    locks.lock(tmp_path / "out").close()  # of before
    (tmp_path / "out" / locks.NAME).write_text((tmp_path / "out" / locks.NAME).read_text().replace(str(os.getpid()), "1"))
    with locks.lock(tmp_path / "out", shared=shared):
        refused = command("-m", "launch", "ablate", path, check=False)
        assert refused.returncode == 2 and f"out is in use by process {os.getpid()} on" in refused.stderr
        cell = command("-m", "launch", "ablate", path, "--cell", 0, check=False)
        assert cell.returncode == (1 if shared else 2)


def processes_of(folder) -> list[str]:
    return subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True, check=False).stdout.split()


@pytest.mark.slow
def test_a_killed_scheduler_leaves_no_process_of_a_launcher(tmp_path):
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
    assert list(run.glob("checkpoint-*/complete"))  # it was asked to end, and saved


@pytest.mark.slow
def test_two_cells_at_once_share_what_they_share(tmp_path):
    """As tasks of a job array: the mixture is built once, by whichever comes first, and the last to finish draws the report."""
    path = write(tmp_path, grid={"sft.learning_rate": [1e-3, 1e-4]}, eval={"greedy": {"max_truncated": 1.0}})
    line = [sys.executable, "-m", "launch", "ablate", str(path), "--cell"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    both = [subprocess.Popen([*line, str(cell)], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) for cell in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("] mixture/all: " in one for one in said) == 1
    assert all("1 cells, 3 jobs" in one for one in said)
    assert len(list((tmp_path / "out").glob("cells/*/eval/sft/metrics.json"))) == 2
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_cell_that_is_asked_to_end_has_its_recipe_save_first(tmp_path):
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
