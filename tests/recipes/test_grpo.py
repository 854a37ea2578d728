"""recipes/grpo.py with real vLLM rollouts, a few steps each; broken weight pushes are detected."""

import json

import pytest

from tests.conftest import read_log

TINY = ["--max_steps", 2, "--per_device_train_batch_size", 4, "--gradient_accumulation_steps", 1, "--num_generations", 4]
TINY += ["--max_completion_length", 12, "--heldout_problems", 2, "--use_cpu", "true", "--report_to", "none"]
TINY += ["--vllm_enable_sleep_mode", "false", "--vllm_max_model_length", 256]

BROKEN = """
import sys
sys.argv = ["recipes/grpo.py", *sys.argv[1:]]
import runpy
from recipes.training.patches import trl
trl.reload_weights = lambda generation: None
runpy.run_path("recipes/grpo.py", run_name="__main__")
"""


def arguments(run, out):
    where = ["--mixture", run / "mixture", "--model_name_or_path", run / "sft", "--output_dir", out]
    return [*where, "--per_device_train_batch_size", 64, "--heldout_problems", 8, "--report_to", "none"]


def test_weights_reach_vllm_after_every_step(command, parity_run, tmp_path):
    """At a high learning rate, sampler and trainer agree only if the sampler has the new weights."""
    out = tmp_path / "grpo"
    args = [*arguments(parity_run, out), "--max_steps", 5, "--learning_rate", 1e-2]
    done = command("recipes/grpo.py", *args, fresh=True, VLLM_LOGGING_LEVEL="INFO")
    assert (done.stdout + done.stderr).count("Initializing a V1 LLM engine") == 1  # held-out evaluation shares the engine
    steps = [e for e in read_log(out) if "reward" in e]
    assert [e["step"] for e in steps] == [1, 2, 3, 4, 5]
    assert all(e["sampling/sampling_logp_difference/mean"] <= 0.01 for e in steps)
    wanted = {"accuracy", "p_long", "truncated", "length/mean", "length/median", "frac_reward_zero_std"}
    assert all(wanted <= e.keys() for e in steps)
    assert "heldout/greedy/accuracy" in steps[-1]
    assert json.loads((out / "recipe.json").read_text())["seed"] == 0


def test_a_weight_push_that_does_nothing_aborts_the_run(command, parity_run, tmp_path):
    args = [*arguments(parity_run, tmp_path / "grpo"), "--max_steps", 20, "--learning_rate", 1e-2]
    done = command("-c", BROKEN, *args, check=False)
    assert done.returncode != 0
    assert "the sampler has other weights" in done.stderr


def test_a_weight_push_that_hangs_aborts_the_run(command, parity_run, tmp_path):
    hangs = BROKEN.replace("lambda generation: None", "lambda generation: __import__('time').sleep(600)")
    args = [*arguments(parity_run, tmp_path / "grpo"), "--max_steps", 2, "--sync_timeout", 3]
    done = command("-c", hangs, *args, check=False)
    assert done.returncode == 1
    assert "error: the weights have not reached vLLM within 3 s (sync_timeout)" in done.stderr


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ("recipes/gsm8k/llama/3b-8x80gb/grpo.yaml", "base"),
        ("recipes/math/llama/8b-lora-80gb/grpo.yaml", "instruct"),
        ("recipes/gsm8k/llama/3b-lora-24gb/grpo.yaml", "base"),  # an adapter on bfloat16 weights
    ],
)
def test_the_llama_recipes_run_with_a_tiny_llama(command, llama, word_problems, tmp_path, config, kind):
    out = tmp_path / "grpo"
    where = ["--mixture", word_problems[kind], "--model_name_or_path", llama[kind], "--output_dir", out]
    command("recipes/grpo.py", "--config", config, *where, *TINY)
    assert [e["step"] for e in read_log(out) if "reward" in e] == [1, 2]
    assert (out / "model.safetensors").is_file()
