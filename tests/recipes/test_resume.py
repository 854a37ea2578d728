"""Runs that are killed, stopped or out of disk space resume from their last complete checkpoint, to the same result."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors.torch import load_file, save_file

from data_mix.errors import InputError
from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build
from recipes.training.checkpoints import atomic
from recipes.training.checkpoints.atomic import find_complete
from recipes.training.checkpoints.final import publish
from recipes.training.checkpoints.shutdown import SIGNALS, GracefulShutdown
from recipes.training.tracking.log import JsonlLog
from tests.conftest import ROOT, figures, read_log, skip

SFT = ["--max_steps", 24, "--per_device_train_batch_size", 16, "--report_to", "none"]
SFT += ["--heldout_problems", 4, "--heldout_every", 6]
SAVES = ["--save_strategy", "steps", "--save_steps", 4, "--save_total_limit", 2, "--logging_steps", 1]


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_sft_killed_at_eight_moments_resumes_to_the_same_result(command, parity_run, tmp_path):
    run = ["recipes/sft.py", "--mixture", parity_run / "mixture", *SFT, *SAVES]
    said = command("-m", "tests.killed", "model.safetensors", "--output_dir", tmp_path, *run, OMP_NUM_THREADS="1").stdout
    assert said.endswith("\n8\n")
    whole = tmp_path / "whole"
    for killed in tmp_path.glob("killed-*"):
        assert weights(killed) == weights(whole)
        assert figures(killed) == figures(whole)
        assert sorted(path.name for path in killed.glob("checkpoint-*")) == ["checkpoint-20", "checkpoint-24"]


def wait_for(path, process):
    """Waits until the file exists; fails if the process exits first."""
    while not path.is_file():
        assert process.poll() is None
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "saves"),
    [(signal.SIGKILL, -9, ["--save_steps", 2]), (signal.SIGTERM, 75, ["--save_steps", 1, "--num_iterations", 2])],
)
def test_grpo_resumes_with_the_same_rollouts(command, start, parity_run, tmp_path, number, status, saves):
    where = ["--mixture", parity_run / "mixture", "--model_name_or_path", parity_run / "sft", "--report_to", "none"]
    size = ["--max_steps", 6, "--per_device_train_batch_size", 64, "--heldout_problems", 8, "--heldout_every", 2]
    run = ["recipes/grpo.py", *where, *size, "--save_strategy", "steps", *saves]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    command(*run, "--output_dir", whole)
    process = start(*run, "--output_dir", stopped)
    wait_for(stopped / "checkpoint-2" / "complete", process)
    process.send_signal(number)
    assert process.wait() == status and not (stopped / "model.safetensors").exists()
    assert all(step % 2 == 0 for step in atomic.find_complete(stopped))  # with num_iterations 2, steps 1 and 2 share rollouts
    assert "resuming after step" in command(*run, "--output_dir", stopped).stdout
    assert figures(stopped) == figures(whole)
    assert weights(stopped) == weights(whole)


@pytest.mark.slow
def test_grpo_resumes_in_a_later_epoch_with_the_same_problems(command, parity_run, tmp_path):
    build_command = ["-m", "data_mix", "build", "recipes/parity/mixture.yaml", "--out", tmp_path / "mixture"]
    command(*build_command, "--set", "n_train=64", "n_test=8")
    where = ["--mixture", tmp_path / "mixture", "--model_name_or_path", parity_run / "sft", "--report_to", "none"]
    size = ["--max_steps", 13, "--per_device_train_batch_size", 64, "--heldout_problems", 1]  # 8 steps per epoch
    run = ["recipes/grpo.py", *where, *size, "--save_strategy", "steps", "--save_steps", 10, "--output_dir", tmp_path / "run"]
    command(*run)
    before, log = weights(tmp_path / "run"), figures(tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    assert "resuming after step 10" in command(*run).stdout
    assert figures(tmp_path / "run") == log
    assert weights(tmp_path / "run") == before


def test_an_incomplete_checkpoint_is_ignored(command, parity_run, tmp_path):
    run = ["recipes/sft.py", "--mixture", parity_run / "mixture", *SFT, *SAVES[:4], "--output_dir", tmp_path / "run"]
    command(*run)
    before = weights(tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    for step in (20, 24):
        (tmp_path / "run" / f"checkpoint-{step}" / "complete").rename(tmp_path / "run" / f"checkpoint-{step}" / "begun")
    assert "resuming after step 16" in command(*run).stdout
    assert weights(tmp_path / "run") == before


def checkpoint(folder, name, *files):
    (folder / name).mkdir(parents=True)
    for file in (*files, "model.safetensors"):
        (folder / name / file).write_text(name)


def test_the_model_has_the_permissions_of_any_new_file(parity_run):
    umask = os.umask(0)
    os.umask(umask)
    assert {path.stat().st_mode & 0o777 for path in (parity_run / "sft").glob("*.*")} == {0o666 & ~umask}


def test_checkpoints_of_others_are_never_removed(tmp_path):
    for step in (10, 20, 30):
        checkpoint(tmp_path, f"checkpoint-{step}", "complete")
    checkpoint(tmp_path, "checkpoint-40", "begun")
    others = ("checkpoint-5", "checkpoint-100-keep", "checkpoint-best")
    for name in others:
        checkpoint(tmp_path, name)
    atomic.check(str(tmp_path), save_only_model=False)
    atomic.clean_up(str(tmp_path), 30)
    atomic.prune(str(tmp_path), 1)
    assert sorted(os.listdir(tmp_path)) == sorted(["checkpoint-30", *others])


def test_a_part_of_an_epoch_resumes_from_the_last_checkpoint_before_its_end(tmp_path):
    for step in (10, 40, 50):
        checkpoint(tmp_path, f"checkpoint-{step}", "complete")
        state = {"global_step": step, "epoch": step / 100, "max_steps": 50, "num_train_epochs": 1}
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps(state))
    for epochs, resumed in ((0.5, 40), (0.6, 50)):
        args = SimpleNamespace(output_dir=str(tmp_path), max_steps=-1, num_train_epochs=epochs)
        assert atomic.last_resumable(args)[0] == resumed


def test_a_finished_model_is_published_with_its_chat_templates(tmp_path):
    for _ in range(2):  # an extended run publishes again
        source = tmp_path / "source"
        (source / "additional_chat_templates").mkdir(parents=True)
        (source / "additional_chat_templates" / "tool.jinja").touch()
        (source / "model.safetensors").touch()
        (tmp_path / "run").mkdir(exist_ok=True)
        publish(source, tmp_path / "run")
        assert os.access(tmp_path / "run" / "additional_chat_templates", os.X_OK) and not source.exists()
    assert (tmp_path / "run" / "additional_chat_templates" / "tool.jinja").is_file()


def test_a_run_that_might_overwrite_another_checkpoint_does_not_start(tmp_path):
    checkpoint(tmp_path, "checkpoint-10", "complete")
    checkpoint(tmp_path, "checkpoint-20")
    with pytest.raises(InputError, match="checkpoint-20 has neither `begun` nor `complete` in it"):
        atomic.check(str(tmp_path), save_only_model=False)


def test_a_kill_while_a_checkpoint_is_removed_leaves_no_partial_one(tmp_path):
    checkpoint(tmp_path, "checkpoint-10", "complete")
    checkpoint(tmp_path, ".checkpoint-5.part")
    atomic.clean_up(str(tmp_path), 10)
    assert os.listdir(tmp_path) == ["checkpoint-10"]


def test_checkpoints_with_save_only_model_are_kept_and_not_resumed(command, parity_run, tmp_path):
    only_model = ["--max_steps", 4, "--save_steps", 2, "--save_only_model", "true"]
    run = ["recipes/sft.py", "--mixture", parity_run / "mixture", *SFT, *SAVES, *only_model, "--output_dir", tmp_path / "run"]
    command(*run)
    (tmp_path / "run" / "model.safetensors").unlink()
    again = command(*run, check=False)
    assert again.returncode == 2 and "save_only_model, which cannot be resumed" in again.stderr
    for step in (2, 4):
        assert (tmp_path / "run" / f"checkpoint-{step}" / "model.safetensors").is_file()


def test_a_stopped_run_with_save_only_model_says_that_it_cannot_be_resumed(start, parity_run, tmp_path):
    only_model = ["--max_steps", 5000, "--save_strategy", "steps", "--save_steps", 2, "--save_only_model", "true"]
    run = ["recipes/sft.py", "--mixture", parity_run / "mixture", *SFT, *only_model, "--output_dir", tmp_path / "run"]
    process = start(*run)
    wait_for(tmp_path / "run" / "checkpoint-2" / "complete", process)
    process.terminate()
    assert "with save_only_model it cannot be resumed" in process.communicate()[1] and process.returncode == 1


def start_fresh(line, **env):
    return subprocess.Popen(
        [sys.executable, *map(str, line)],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def endless_sft(mixture, out):
    sizes = ["--max_steps", 100_000, "--per_device_train_batch_size", 16, "--heldout_problems", 4, "--report_to", "none"]
    return ["recipes/sft.py", "--mixture", mixture, *sizes, *SAVES, "--output_dir", out]


def wait_for_checkpoint(out, process, after=0):
    """Waits for a complete checkpoint of a step later than `after`; it may be pruned soon."""
    while max(find_complete(str(out)), default=0) <= after:
        assert process.poll() is None
        time.sleep(0.01)


def children(process):
    return [int(pid) for path in Path(f"/proc/{process.pid}/task").glob("*/children") for pid in path.read_text().split()]


def wait_until_exited(pids):
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_recipe_exits_with_its_launcher_and_locks_its_folder_until_then(command, start, parity_run, tmp_path):
    out, launcher = tmp_path / "run", ["-m", "accelerate.commands.launch", "--num_processes", 1]
    run = endless_sft(parity_run / "mixture", out)
    process = start_fresh([*launcher, *run])
    wait_for_checkpoint(out, process)
    (recipe,) = children(process)
    log = (out / "log.jsonl").read_text()
    second = command(*run, check=False)
    assert second.returncode == 2 and second.stderr.count("error: ") == 1
    assert f"{out} is in use by process {recipe} on {socket.gethostname()}, started " in second.stderr
    assert (out / "log.jsonl").read_text().startswith(log)
    process.kill()
    wait_until_exited([recipe])
    saved = max(find_complete(str(out)))
    assert not (out / "model.safetensors").exists()
    again = start(*run)
    wait_for_checkpoint(out, again, after=saved)
    again.terminate()
    assert again.wait() == 75
    assert [entry["step"] for entry in read_log(out) if "loss" in entry] == list(range(1, max(find_complete(str(out))) + 1))


def test_a_checkpoint_that_the_trainer_saves_twice_is_complete(start, tmp_path):
    """It does when stopped after the last step of an epoch; here each epoch has one step."""
    raw = {"p_cot": 0.5, "n_train": 16, "n_test": 16, "sources": [{"task": "parity", "d": 8}]}
    build(parse_config(raw), str(tmp_path / "mixture"))
    out = tmp_path / "run"
    by_epoch = ["--max_steps", -1, "--num_train_epochs", 100_000, "--save_strategy", "epoch"]
    process = start(*endless_sft(tmp_path / "mixture", out), *by_epoch)
    wait_for_checkpoint(out, process)
    process.terminate()
    assert process.wait() == 75
    assert len(find_complete(str(out))) == 2 and not list(out.glob("checkpoint-*/begun"))
    assert max(find_complete(str(out))) == read_log(out)[-1]["step"]


@pytest.mark.slow
def test_the_folder_is_locked_until_both_processes_have_exited(command, parity_run, tmp_path):
    out = tmp_path / "run"
    launcher = ["-m", "accelerate.commands.launch", "-q", "--config_file", "launch/accelerate/cpu.yaml"]
    run = [*launcher, "--main_process_port", 0, *endless_sft(parity_run / "mixture", out)]
    process = start_fresh(run, OMP_NUM_THREADS="1")
    wait_for_checkpoint(out, process)
    both = children(process)
    second = command(*run, check=False, OMP_NUM_THREADS="1")
    assert second.returncode == 1
    errors = [line for line in second.stderr.splitlines() if "error: " in line]
    assert errors and all("is in use by process" in line for line in errors)
    process.kill()
    wait_until_exited(both)
    again = start_fresh(run, OMP_NUM_THREADS="1")
    wait_for_checkpoint(out, again, after=max(find_complete(str(out))))
    again.terminate()
    again.wait()


def test_the_log_is_intact_when_the_disk_is_too_full_to_truncate_it(command, tmp_path):
    entries = "".join(json.dumps({"step": step, "loss": 1.0}) + "\n" for step in range(1000))
    (tmp_path / "log.jsonl").write_text(entries)
    truncate = f"JsonlLog({str(tmp_path)!r}).truncate(900)"
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"
    done = command(
        "-c", f"import resource; from recipes.training.tracking.log import JsonlLog; {limit}; {truncate}", check=False
    )
    assert "File too large" in done.stderr
    assert (tmp_path / "log.jsonl").read_text() == entries and os.listdir(tmp_path) == ["log.jsonl"]


def test_partial_lines_of_the_log_are_dropped(tmp_path):
    log = JsonlLog(str(tmp_path))
    intact = '{"step": 0, "loss": 2}\n{"step": 1, "loss": 1}\n'
    log.path.write_text(intact + '{"step": 2, "lo\n\0\0{"step": 3}\n{"step": 4, "loss')
    log.truncate(4)
    assert log.path.read_text() == intact
    log.truncate(0)
    assert log.path.read_text() == ""


def test_a_run_of_another_config_is_not_resumed(command, parity_run, tmp_path):
    run = ["recipes/sft.py", "--mixture", parity_run / "mixture", *SFT, "--output_dir", tmp_path / "run"]
    command(*run)
    other = command(*run, "--seed", 5, check=False)
    assert other.returncode == 2 and "holds a run whose seed differs: 0 -> 5" in other.stderr
    longer = command(*run, "--max_steps", 30, check=False)
    assert longer.returncode == 2 and "a finished run without a checkpoint" in longer.stderr


@pytest.mark.slow
def test_a_finished_run_has_nothing_to_do_and_is_extended_by_more_steps(command, parity_run, tmp_path):
    run = ["recipes/sft.py", "--mixture", parity_run / "mixture", *SFT, *SAVES, "--output_dir", tmp_path / "run"]
    command(*run)
    before = weights(tmp_path / "run")
    assert "nothing to do" in command(*run).stdout and weights(tmp_path / "run") == before
    assert "resuming after step 24" in command(*run, "--max_steps", 26).stdout
    assert read_log(tmp_path / "run")[-1]["step"] == 26 and weights(tmp_path / "run") != before


@pytest.mark.slow
def test_ctrl_c_saves_after_the_current_step(command, parity_run, tmp_path):
    run = ["recipes/sft.py", "--mixture", parity_run / "mixture", *SFT, *SAVES]
    command(*run, "--output_dir", tmp_path / "whole")
    process = start_fresh([*run, "--output_dir", tmp_path / "run"])
    wait_for(tmp_path / "run" / "checkpoint-4" / "complete", process)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    command(*run, "--output_dir", tmp_path / "run")
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    assert figures(tmp_path / "run") == figures(tmp_path / "whole")


def test_a_second_ctrl_c_exits_at_once():
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGINT)}
    try:
        shutdown = GracefulShutdown()
        signal.raise_signal(signal.SIGINT)
        assert shutdown.received and shutdown.exit_code == 130
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_run_with_non_finite_gradients_stops_and_keeps_its_last_checkpoint(command, parity_run, tmp_path):
    run = ["recipes/sft.py", "--mixture", parity_run / "mixture", *SFT, *SAVES, "--save_steps", 1, "--warmup_steps", 0]
    done = command(*run, "--learning_rate", 1e30, "--output_dir", tmp_path, check=False)
    assert done.returncode == 1 and "error: step 2: the gradient norm is nan" in done.stderr
    assert "Traceback" not in done.stderr and list(atomic.find_complete(tmp_path)) == [1]
    assert all(weight.isfinite().all() for weight in load_file(tmp_path / "checkpoint-1" / "model.safetensors").values())


def test_a_model_with_nan_weights_is_refused(command, parity_run, tmp_path):
    shutil.copytree(parity_run / "sft", tmp_path / "model")
    broken = load_file(tmp_path / "model" / "model.safetensors")
    broken["lm_head.weight"][0, 0] = float("nan")
    save_file(broken, tmp_path / "model" / "model.safetensors", {"format": "pt"})
    where = ["--mixture", parity_run / "mixture", "--model_name_or_path", tmp_path / "model", "--report_to", "none"]
    done = command("recipes/grpo.py", *where, "--output_dir", tmp_path / "run", check=False)
    assert done.returncode == 2 and "lm_head.weight has NaN or infinite weights" in done.stderr


def test_a_full_disk_is_one_line_and_keeps_the_last_complete_checkpoint(command, parity_run, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=14m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        skip(f"cannot mount a tmpfs, which takes root: {mounted.stderr.decode().strip()}")
    try:
        keep_all = [*SAVES[:4], "--logging_steps", 1]  # a checkpoint is 6 MB: two fit, a third does not
        run = ["recipes/sft.py", "--mixture", parity_run / "mixture", *SFT, *keep_all, "--output_dir", disk / "run"]
        done = command(*run, check=False)
        assert done.returncode == 2 and "error: the disk is full" in done.stderr
        complete = [path.parent for path in disk.glob("run/checkpoint-*/complete")]
        assert complete
        state = json.loads((complete[-1] / "trainer_state.json").read_text())
        assert state["global_step"] == int(complete[-1].name.split("-")[1])
    finally:
        subprocess.run(["umount", disk], check=True)
