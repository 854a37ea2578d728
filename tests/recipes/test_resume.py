"""A run that is killed, asked to end or out of disk space goes on from its last complete checkpoint as if nothing had been."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT, figures

SFT = [
    "--max_steps",
    24,
    "--per_device_train_batch_size",
    16,
    "--heldout_problems",
    4,
    "--heldout_every",
    6,
    "--report_to",
    "none",
]
SAVES = ["--save_strategy", "steps", "--save_steps", 4, "--save_total_limit", 2, "--logging_steps", 1]


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def test_sft_killed_at_twenty_random_moments_is_the_run_that_was_not(command, parity_run, tmp_path):
    run = ["recipes/sft.py", "--mixture", parity_run / "mixture", *SFT, *SAVES]
    said = command("-m", "tests.killed", "model.safetensors", "--output_dir", tmp_path, *run, OMP_NUM_THREADS="1").stdout
    assert said.endswith("\n20\n")
    whole = tmp_path / "whole"
    for killed in tmp_path.glob("killed-*"):
        assert weights(killed) == weights(whole)
        assert figures(killed) == figures(whole)
        assert sorted(path.name for path in killed.glob("checkpoint-*")) == ["checkpoint-20", "checkpoint-24"]


def wait_for(path, process):
    """Waits until the file is there; a run that ends before has failed."""
    while not path.is_file():
        assert process.poll() is None
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, 75)])
def test_grpo_goes_on_with_the_same_rollouts(command, parity_run, tmp_path, number, status):
    start = ["--mixture", parity_run / "mixture", "--model_name_or_path", parity_run / "sft", "--report_to", "none"]
    size = ["--max_steps", 6, "--per_device_train_batch_size", 64, "--heldout_problems", 8, "--heldout_every", 2]
    run = ["recipes/grpo.py", *start, *size, "--save_strategy", "steps", "--save_steps", 2]
    whole, ended = tmp_path / "whole", tmp_path / "ended"
    command(*run, "--output_dir", whole)
    line = [sys.executable, *map(str, run), "--output_dir", str(ended)]
    process = subprocess.Popen(line, cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdout=subprocess.DEVNULL)
    wait_for(ended / "checkpoint-2" / "complete", process)
    process.send_signal(number)
    assert process.wait() == status and not (ended / "model.safetensors").exists()
    assert "goes on after step" in command(*run, "--output_dir", ended).stdout
    assert figures(ended) == figures(whole)
    assert weights(ended) == weights(whole)


def test_grpo_goes_on_in_a_later_pass_with_the_same_problems(command, parity_run, tmp_path):
    command(
        "-m",
        "data_mix",
        "build",
        "recipes/parity/mixture.yaml",
        "--out",
        tmp_path / "mixture",
        "--set",
        "n_train=64",
        "n_test=8",
    )
    start = ["--mixture", tmp_path / "mixture", "--model_name_or_path", parity_run / "sft", "--report_to", "none"]
    size = [
        "--max_steps",
        13,
        "--per_device_train_batch_size",
        64,
        "--heldout_problems",
        1,
    ]  # 8 steps a pass
    run = ["recipes/grpo.py", *start, *size, "--save_strategy", "steps", "--save_steps", 10, "--output_dir", tmp_path / "run"]
    command(*run)
    whole, log = weights(tmp_path / "run"), figures(tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    (tmp_path / "run" / "checkpoint-13" / "complete").unlink(missing_ok=True)
    assert "goes on after step 10" in command(*run).stdout
    assert figures(tmp_path / "run") == log
    assert weights(tmp_path / "run") == whole


def test_a_half_written_checkpoint_does_not_count(command, parity_run, tmp_path):
    run = ["recipes/sft.py", "--mixture", parity_run / "mixture", *SFT, *SAVES[:4], "--output_dir", tmp_path / "run"]
    command(*run)
    before = weights(tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    (tmp_path / "run" / "checkpoint-20" / "complete").unlink()
    assert "goes on after step 16" in command(*run).stdout
    assert weights(tmp_path / "run") == before


def test_another_config_does_not_go_on(command, parity_run, tmp_path):
    run = ["recipes/sft.py", "--mixture", parity_run / "mixture", *SFT, "--output_dir", tmp_path / "run"]
    command(*run)
    (tmp_path / "run" / "model.safetensors").unlink()
    other = command(*run, "--seed", 5, check=False)
    assert other.returncode == 2 and "holds a run of another config (seed was 0 and is 5)" in other.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_one_line_and_keeps_the_last_complete_checkpoint(command, parity_run, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=14m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        keep_all = [*SAVES[:4], "--logging_steps", 1]  # a checkpoint is 6 MB: two fit, and not a third
        run = ["recipes/sft.py", "--mixture", parity_run / "mixture", *SFT, *keep_all, "--output_dir", disk / "run"]
        done = command(*run, check=False)
        assert done.returncode == 2 and "error: the disk is full" in done.stderr
        complete = [path.parent for path in disk.glob("run/checkpoint-*/complete")]
        assert complete
        state = json.loads((complete[-1] / "trainer_state.json").read_text())
        assert state["global_step"] == int(complete[-1].name.split("-")[1])
    finally:
        subprocess.run(["umount", disk], check=True)
