"""Every config in launch/accelerate/ in two real processes: SFT and GRPO, full and LoRA, reach the same losses and weights."""

import functools
import json

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build
from tests.conftest import read_log

pytestmark = pytest.mark.slow
CONFIGS = ["cpu", "ddp", "zero2", "zero3", "fsdp2"]
LORA = ["--use_peft", "true", "--lora_r", 4, "--lora_dropout", 0]
SFT = ["--learning_rate", 0.1, "--warmup_steps", 0, "--bf16", "false", "--heldout_max_tokens", 8, "--save_strategy", "no"]


@pytest.fixture(scope="module")
def two(command):
    """Runs a recipe in two processes with a config in launch/accelerate."""

    def run(config, recipe, *args, processes=2, **env):
        launch = ["-m", "accelerate.commands.launch", "--config_file", f"launch/accelerate/{config}.yaml"]
        launch += ["--num_processes", processes, "--main_process_port", 0, f"recipes/{recipe}.py", "--report_to", "none"]
        return command(*launch, *args, OMP_NUM_THREADS="1", **env)

    return run


def rows(llama, word_problems):
    return ["--mixture", word_problems["base"], "--model_name_or_path", llama["base"]]


def changed_weights(before, after):
    """Names of the weights that differ between two model folders, which must have the same names."""
    before, after = load_file(f"{before}/model.safetensors"), load_file(f"{after}/model.safetensors")
    assert before.keys() == after.keys()
    assert all(after[name].isfinite().all() for name in after)
    return {name for name in before if not before[name].equal(after[name])}


def largest_difference(one, other):
    one, other = load_file(f"{one}/model.safetensors"), load_file(f"{other}/model.safetensors")
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


@pytest.fixture(scope="module")
def reference(two, llama, word_problems, parity_run, tmp_path_factory):
    """Runs with cpu.yaml, each made once, that the other configs must match."""

    @functools.cache
    def run(recipe, lora):
        return start(two, "cpu", recipe, lora, llama, word_problems, parity_run, tmp_path_factory.mktemp("cpu"))

    return run


def start(two, config, recipe, lora, llama, word_problems, parity_run, folder):
    out = folder / recipe
    size = ["--max_steps", 3, "--logging_steps", 1, "--output_dir", out, *(LORA if lora else [])]
    if recipe == "sft":
        where = ["--config", "recipes/gsm8k/llama/3b-8x80gb/sft.yaml", *rows(llama, word_problems)]
        two(config, "sft", *where, *size, *SFT, "--per_device_train_batch_size", 2, "--heldout_problems", 3)
    else:
        where = ["--mixture", parity_run / "mixture", "--model_name_or_path", parity_run / "sft"]
        small = ["--per_device_train_batch_size", 32, "--learning_rate", 1e-2, "--heldout_problems", 3]
        done = two(config, "grpo", *where, *size, *small)
        assert "saved" in done.stdout and "Traceback" not in done.stderr
    return out


@pytest.mark.parametrize(
    ("config", "recipe", "lora"),
    [
        *((config, recipe, False) for config in CONFIGS[1:] for recipe in ("sft", "grpo")),
        # ZeRO-2 leaves the parameters whole, so an adapter under it is one under DDP
        *((config, recipe, True) for config in ("ddp", "zero3", "fsdp2") for recipe in ("sft", "grpo")),
    ],
)
def test_all_configs_reach_the_same_model(two, reference, llama, word_problems, parity_run, tmp_path, config, recipe, lora):
    out = start(two, config, recipe, lora, llama, word_problems, parity_run, tmp_path)
    expected = reference(recipe, lora)
    changed = changed_weights(llama["base"] if recipe == "sft" else parity_run / "sft", out)
    assert changed and (not lora or all("_proj" in name for name in changed))
    steps, expected_steps = ([e for e in read_log(folder) if "loss" in e] for folder in (out, expected))
    assert [e["loss"] for e in steps] == pytest.approx([e["loss"] for e in expected_steps], abs=1e-4)
    assert largest_difference(out, expected) < 1e-3
    assert "heldout/sampled/accuracy" in steps[-1]
    if recipe == "grpo":  # each process pushed its weights to its engine
        assert all(e["sampling/sampling_logp_difference/mean"] < 1e-4 for e in steps)


@pytest.mark.parametrize(
    ("config", "recipe"), [*((config, "sft") for config in CONFIGS[1:]), ("ddp", "grpo"), ("zero3", "grpo")]
)
def test_resuming_two_processes_gives_identical_weights(two, llama, word_problems, parity_run, tmp_path, config, recipe):
    """Without its final model, a run of 4 steps counts as unfinished and resumes from the checkpoint at step 2."""
    base = ["--config", "recipes/gsm8k/llama/3b-8x80gb/sft.yaml", *rows(llama, word_problems), *SFT[:-2]]
    base += ["--per_device_train_batch_size", 2]
    if recipe == "grpo":
        base = ["--mixture", parity_run / "mixture", "--model_name_or_path", parity_run / "sft"]
        base += ["--per_device_train_batch_size", 32]
    small = ["--max_steps", 4, "--heldout_problems", 2, "--logging_steps", 1, "--learning_rate", 1e-2]
    saves = ["--save_strategy", "steps", "--save_steps", 2, "--save_total_limit", 5]
    run = [recipe, *base, *small, *saves, "--output_dir", tmp_path / "run"]
    two(config, *run)
    before = load_file(tmp_path / "run" / "model.safetensors")
    (tmp_path / "run" / "model.safetensors").unlink()
    assert "resuming after step 2" in two(config, *run).stdout
    after = load_file(tmp_path / "run" / "model.safetensors")
    assert all(before[name].equal(after[name]) for name in before)


def test_one_process_and_two_have_the_same_losses(command, two, llama, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for split in ("train", "test"):
        lines = [{"question": f"{split} {i} + {i}?", "answer": f"{i} + {i} = {2 * i}\n#### {2 * i}"} for i in range(200)]
        (source / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    plain = {"prompt_format": "plain", "prompt_template": "{prompt}\n"}
    raw = {"p_cot": 0.5, "n_train": None, "n_test": 8, "sources": [{"task": "gsm8k", "path": str(source)}], **plain}
    build(parse_config(raw), str(tmp_path / "mixture"))
    base = ["--config", "recipes/gsm8k/llama/3b-8x80gb/sft.yaml", "--mixture", tmp_path / "mixture"]
    base += ["--model_name_or_path", llama["base"], "--max_steps", 20, "--logging_steps", 1, "--heldout_problems", 2]
    base += ["--learning_rate", 1e-2, "--bf16", "false", "--heldout_max_tokens", 8, "--save_strategy", "no"]
    sizes = {1: 8, 2: 4}
    for processes, size in sizes.items():
        where = ["--per_device_train_batch_size", size, "--output_dir", tmp_path / str(processes)]
        two("cpu", "sft", *base, *where, processes=processes)
    one, both = ([e["loss"] for e in read_log(tmp_path / str(n)) if "loss" in e] for n in sizes)
    assert len(one) == 20 and one == pytest.approx(both, abs=1e-4)
    assert one[0] - one[-1] > 1  # and the loss falls


def test_star_in_two_processes_has_the_rollouts_of_one(two, parity_run, tmp_path):
    where = ["--mixture", parity_run / "mixture", "--model_name_or_path", parity_run / "sft", "--output_dir", tmp_path / "run"]
    small = ["--rounds", 2, "--problems", 32, "--heldout_problems", 4, "--per_device_train_batch_size", 16]
    two("cpu", "star", *where, *small, "--rewards", "answer", "--warmup_steps", 0)
    assert [entry["step"] for entry in read_log(tmp_path / "run")] == [0, 1, 2]
    rollouts = pq.read_table(tmp_path / "run" / "rollouts" / "round-1.parquet")
    assert rollouts.num_rows == 32 * 8 and len(set(rollouts["problem_id"].to_pylist())) <= 32
    assert changed_weights(parity_run / "sft", tmp_path / "run")

    where[-1] = tmp_path / "alone"
    two("cpu", "star", *where, *small, "--rounds", 1, "--rewards", "answer", "--warmup_steps", 0, processes=1)
    alone = pq.read_table(tmp_path / "alone" / "rollouts" / "round-1.parquet")
    both, one = (sorted(map(str, table.drop_columns(["ms"]).to_pylist())) for table in (rollouts, alone))  # ms: a time
    assert both == one
    held_out, held_out_alone = (
        {name: value for name, value in read_log(tmp_path / run)[0].items() if name.startswith("heldout/")}
        for run in ("run", "alone")
    )
    assert held_out == held_out_alone


@pytest.mark.parametrize(("config", "lora"), [("ddp", False), ("zero3", True), ("fsdp2", False)])
def test_without_vllm_two_processes_have_the_results_of_one(command, two, parity_run, tmp_path, config, lora):
    """At step 0 the weights are the same, and with them the completions; then only rounding differs."""
    where = ["--mixture", parity_run / "mixture", "--model_name_or_path", parity_run / "sft", "--heldout_problems", 31]
    run = [*where, "--max_steps", 2, "--logging_steps", 1, *(LORA if lora else []), "--use_vllm", "false"]
    run += ["--gradient_checkpointing", "true"]
    sizes = {1: ["--per_device_train_batch_size", 32], 2: ["--per_device_train_batch_size", 16]}
    command("recipes/grpo.py", *run, *sizes[1], "--output_dir", tmp_path / "1", "--report_to", "none")
    two(config, "grpo", *run, *sizes[2], "--output_dir", tmp_path / "2")
    (one, first, *_), (both, first_of_both, *_) = (read_log(tmp_path / str(n)) for n in sizes)
    held_out = {name: value for name, value in one.items() if name.startswith("heldout")}
    assert held_out and held_out == pytest.approx({name: both[name] for name in held_out})
    for name in ("reward", "loss", "completions/mean_length", "p_long"):
        assert first[name] == pytest.approx(first_of_both[name], abs=1e-4), name
    assert first_of_both["sampling/sampling_logp_difference/mean"] < 1e-5
