"""`use_vllm: false`: rollouts through transformers, with log-probs of a forward pass, and where vLLM is not installed."""

import shutil

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from recipes.training.generation.generators import HELD_OUT, ROLLOUTS
from tests.conftest import figures, read_log

# runs a recipe as if vLLM were not installed
WITHOUT_VLLM = (
    "import runpy, sys; sys.modules['vllm'] = None; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
)
SETTINGS = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}


@pytest.fixture(scope="module")
def source(parity_run):
    from accelerate import Accelerator
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from recipes.training.generation.transformers_source import TransformersSource

    tokenizer = AutoTokenizer.from_pretrained(parity_run / "sft")
    return TransformersSource(
        AutoModelForCausalLM.from_pretrained(parity_run / "sft", dtype=torch.float32),
        Accelerator(cpu=True),
        tokenizer,
        max_num_seqs=16,
        max_completion_length=20,
        generation_kwargs={"stop_token_ids": [tokenizer.eos_token_id]},
        seed=3,
        sync_timeout=10,
        checkpointing=None,
    )


@pytest.fixture(scope="module")
def prompts(source):
    """Of different lengths, so that batches are padded."""
    return source.processing_class([f"{i:b}=" for i in range(1, 3000, 61)])["input_ids"]


@pytest.mark.parametrize(
    "change",
    [{"temperature": 0.0}, {}, {"temperature": 0.7}, {"top_k": 2}, {"top_p": 0.8, "temperature": 1.3}, {"min_p": 0.3}],
)
def test_log_probs_are_those_of_a_forward_pass(source, prompts, change):
    from recipes.training.trainers.filters import Filters

    settings = SETTINGS | change
    source.model.train()
    samples = source.complete(prompts, range(len(prompts)), settings, ROLLOUTS)
    assert source.model.training  # as it was
    filters = Filters(settings["top_k"], settings["top_p"], settings["min_p"])
    for prompt, sample in zip(prompts, samples, strict=True):
        with torch.no_grad():
            logits = source.model(torch.tensor([prompt + sample.ids])).logits[0, len(prompt) - 1 : -1]
        ids = torch.tensor(sample.ids).unsqueeze(1)
        logits = logits / (settings["temperature"] or 1.0)
        if settings["temperature"] == 0:
            assert logits.argmax(dim=1).tolist() == sample.ids
        logps = logits.masked_fill(~filters.kept(logits), -torch.inf).log_softmax(dim=1).gather(1, ids).squeeze(1)
        assert logps.tolist() == pytest.approx(sample.logps, abs=1e-5)


def test_completions_depend_on_number_purpose_and_step_but_not_on_the_batch(source, prompts):
    source.step, numbers = lambda: 1, range(len(prompts))
    source.sync_weights()
    all_of_them = [sample.ids for sample in source.complete(prompts, numbers, SETTINGS, HELD_OUT)]
    backwards = [sample.ids for sample in source.complete(prompts[:9][::-1], numbers[:9][::-1], SETTINGS, HELD_OUT)]
    assert backwards[::-1] == all_of_them[:9]
    assert any(ids[-1] == source.processing_class.eos_token_id for ids in all_of_them)
    others = [
        source.complete(prompts, numbers, SETTINGS, ROLLOUTS),
        source.complete(prompts, numbers[::-1], SETTINGS, HELD_OUT),
    ]
    source.step = lambda: 2
    source.sync_weights()
    others.append(source.complete(prompts, numbers, SETTINGS, HELD_OUT))
    assert all([sample.ids for sample in samples] != all_of_them for samples in others)
    repeats = [prompts[0]] * 8
    first, second = (source.generate(repeats, None, 8)[1] for _ in range(2))
    assert first != second and len({tuple(ids) for ids in first}) > 1
    source.sync_weights()
    assert source.generate(repeats, None, 8)[1] == first


@pytest.mark.slow
def test_grpo_without_vllm_resumes_with_the_same_rollouts_after_a_kill(command, start, parity_run, tmp_path):
    where = ["--mixture", parity_run / "mixture", "--model_name_or_path", parity_run / "sft", "--report_to", "none"]
    size = ["--max_steps", 4, "--per_device_train_batch_size", 64, "--heldout_problems", 8, "--heldout_every", 2]
    more = [
        "--algorithm",
        "dapo",
        "--num_generations",
        2,
        "--top_p",
        0.95,
        "--save_strategy",
        "steps",
        "--save_steps",
        2,
        "--use_vllm",
        "false",
    ]
    run = ["recipes/grpo.py", *where, *size, *more]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command(*run, "--output_dir", whole)
    process = start(*run, "--output_dir", killed)
    while not (killed / "checkpoint-2" / "complete").is_file():
        assert process.poll() is None
    process.send_signal(9)
    assert process.wait() == -9 and not (killed / "model.safetensors").exists()
    done = command("-c", WITHOUT_VLLM, *run, "--output_dir", killed, fresh=True)
    assert "resuming after step" in done.stdout
    assert figures(killed) == figures(whole)
    assert (killed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    steps = [entry for entry in read_log(whole) if "reward" in entry]
    assert [entry["weights_step"] for entry in steps] == [0, 1, 2, 3]
    assert all(entry["sampling/sampling_logp_difference/mean"] < 1e-5 and entry["generate_time"] > 0 for entry in steps)
    assert any(entry["resampled_groups"] > 0 for entry in steps)


@pytest.mark.slow
def test_star_without_vllm_resumes_with_the_same_rollouts(command, parity_run, tmp_path):
    size = ["--rounds", 2, "--problems", 16, "--num_generations", 4, "--heldout_problems", 8, "--report_to", "none"]
    where = ["--mixture", parity_run / "mixture", "--model_name_or_path", parity_run / "sft", "--rewards", "answer"]
    run = ["recipes/star.py", *where, *size, "--use_vllm", "false", "--warmup_steps", 0]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    command(*run, "--output_dir", whole)
    shutil.copytree(whole, stopped)
    shutil.rmtree(stopped / "checkpoint-2")
    for name in ("model.safetensors", "rollouts/round-2.parquet"):
        (stopped / name).unlink()
    command("-c", WITHOUT_VLLM, *run, "--output_dir", stopped, fresh=True)
    assert (stopped / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    rollouts = [pq.read_table(folder / "rollouts" / "round-2.parquet").drop("ms") for folder in (stopped, whole)]
    assert rollouts[0].equals(rollouts[1]) and figures(stopped) == figures(whole)
    before, after = load_file(parity_run / "sft" / "model.safetensors"), load_file(whole / "model.safetensors")
    assert any(not before[name].equal(after[name]) for name in before)
