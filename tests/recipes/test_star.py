"""recipes/star.py with real vLLM rollouts: kept completions are verified, interrupted runs resume to the same result."""

import os
import shutil
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rewards.built_in import VERIFIED
from rewards.scorer import Verdict
from tests.conftest import ROOT, read_log

SMALL = ["--rounds", 2, "--problems", 16, "--num_generations", 4, "--heldout_problems", 8, "--per_device_train_batch_size", 8]


def arguments(run, out):
    return ["recipes/star.py", "--mixture", run / "mixture", "--model_name_or_path", run / "sft", "--output_dir", out, *SMALL]


@pytest.fixture(scope="module")
def star(command, parity_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("star") / "star"
    command(*arguments(parity_run, out))
    return out


def test_exactly_the_rewarded_completions_are_kept(star):
    for number in (1, 2):
        rollouts = pq.read_table(star / "rollouts" / f"round-{number}.parquet").to_pylist()
        assert len(rollouts) == 64 and len({row["problem_id"] for row in rollouts}) > 8
        for row in rollouts:
            verdict = Verdict(**{name: row[name] for name in Verdict.__dataclass_fields__})
            assert row["kept"] == (VERIFIED["valid"](verdict) and not row["truncated"])


def test_each_round_logs_length_and_accuracy(star):
    log = read_log(star)
    assert [entry["step"] for entry in log] == [0, 1, 2] and "heldout/greedy/p_long" in log[0]
    assert all(
        {"kept", "p_long", "length/median", "accuracy", "truncated", "loss", "frac_reward_zero_std"} <= entry.keys()
        for entry in log[1:]
    )
    assert list((star / "star").glob("events*"))  # TensorBoard's
    assert "| rounds | `2` |" in (card := (star / "README.md").read_text()) and "num_train_epochs" not in card


def test_a_run_killed_in_its_second_round_resumes_to_the_same_result(command, parity_run, star, tmp_path):
    killed = tmp_path / "star"
    shutil.copytree(star, killed)
    shutil.rmtree(killed / "checkpoint-2")
    (killed / "model.safetensors").unlink()
    (killed / "rollouts" / "round-2.parquet").unlink()
    other = command(*arguments(parity_run, killed), "--temperature", 0.5, check=False)
    assert other.returncode == 2 and "holds a run whose temperature differs: 1.0 -> 0.5" in other.stderr
    command(*arguments(parity_run, killed))
    assert (killed / "model.safetensors").read_bytes() == (star / "model.safetensors").read_bytes()
    assert [entry["step"] for entry in read_log(killed)] == [0, 1, 2]
    again = command(*arguments(parity_run, killed), check=False)
    assert again.returncode == 0 and "nothing to do" in again.stdout


@pytest.mark.slow
def test_a_run_saves_on_sigterm_and_resumes(command, parity_run, star, tmp_path):
    out = tmp_path / "star"
    line = [sys.executable, *map(str, arguments(parity_run, out))]
    process = subprocess.Popen(line, cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stderr=subprocess.PIPE, text=True)
    while not (out / "log.jsonl").is_file():
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    stderr = process.communicate()[1]
    assert process.returncode == 75 and "after the rollouts of round 1 as requested; the same command resumes it" in stderr
    assert (out / "rollouts" / "round-1.parquet").is_file() and not (out / "checkpoint-1").exists()
    command(*arguments(parity_run, out))
    assert (out / "model.safetensors").read_bytes() == (star / "model.safetensors").read_bytes()
    assert not (out / "complete").exists()


def test_a_chat_model_is_trained_with_lora_in_bfloat16(command, llama, word_problems, tmp_path):
    """A random model is never correct, so its rollouts are replaced by correct ones before the round is trained again."""
    from safetensors.torch import load_file

    out = tmp_path / "star"
    where = ["--mixture", word_problems["instruct"], "--model_name_or_path", llama["instruct"], "--output_dir", out]
    small = ["--rounds", 1, "--problems", 4, "--num_generations", 2, "--max_completion_length", 8, "--heldout_problems", 2]
    train = ["--bf16", "true", "--use_cpu", "true", "--use_peft", "true", "--lora_r", 4]
    train += ["--learning_rate", 0.1, "--warmup_steps", 0]
    line = ["recipes/star.py", *where, *small, *train, "--rewards", "answer", "--max_length", 256, "--report_to", "none"]
    command(*line)
    before = load_file(out / "model.safetensors")
    shutil.rmtree(out / "checkpoint-1")
    (out / "model.safetensors").unlink()
    path = out / "rollouts" / "round-1.parquet"
    rows = [{**row, "completion": f"#### {row['answer']}", "kept": True} for row in pq.read_table(path).to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows), path)
    command(*line)
    after = load_file(out / "model.safetensors")
    moved = {name for name in before if not before[name].equal(after[name])}
    assert moved and all("_proj" in name for name in moved) and read_log(out)[-1]["kept"] == 1


def test_a_reward_that_is_not_a_verdict_is_refused(command, parity_run, tmp_path):
    done = command(*arguments(parity_run, tmp_path / "star"), "--rewards", "cosine", check=False)
    assert done.returncode == 2 and "cosine is not a verdict" in done.stderr


def test_a_llama_recipe_runs_with_a_tiny_llama(command, llama, word_problems, tmp_path):
    """Its settings for a GPU, max_length null among them; an untrained model earns nothing, so the rounds train on nothing."""
    where = ["--mixture", word_problems["base"], "--model_name_or_path", llama["base"], "--output_dir", tmp_path / "star"]
    short = ["--max_completion_length", 8, "--vllm_max_model_length", 256, "--use_cpu", "true", "--report_to", "none"]
    command("recipes/star.py", "--config", "recipes/gsm8k/llama/3b-lora-24gb/star.yaml", *where, *SMALL, *short)
    assert [entry["step"] for entry in read_log(tmp_path / "star")] == [0, 1, 2]
