"""`eval run` and its Python API with real vLLM on a real checkpoint; vLLM against transformers."""

import importlib.util
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from data_mix.errors import InputError
from eval.eval_config import EvalConfig
from eval.generation import engines
from eval.generation.engines import LazyEngine, Sampling, TransformersEngine, VLLMEngine, in_order
from eval.generation.tokens import end_ids
from eval.scoring.eval_folder import read_completions, read_metrics


def test_run_covers_every_test_problem_and_never_overwrites(command, parity_run, tmp_path):
    out = tmp_path / "eval"
    args = ["-m", "eval", "run", "--model", parity_run / "sft", "--mixture", parity_run / "mixture", "--out", out]
    command(*args, "--samples", 3, "--temperature", 1.0)
    rows, info = read_completions(str(out))
    assert len(rows) == 64 * 3 and info["temperature"] == 1.0
    assert len({(row["problem_id"], row["sample"]) for row in rows}) == 64 * 3
    # after so few steps the model may emit pad tokens, which count as length but have no text
    assert all(row["n_tokens"] >= len(row["completion"]) for row in rows)
    assert max(row["n_tokens"] for row in rows) <= 32
    metrics = read_metrics(str(out))
    assert metrics["n_problems"] == 64 and set(metrics["pass_at_k"]) == {"1", "2", "3"}
    calibration = metrics["calibration"]
    assert calibration["p_cot"] == 0.25 and calibration["difference"]["value"] == pytest.approx(metrics["p_long"] - 0.25)
    other = command(*args, check=False)
    assert other.returncode == 2 and "already holds another eval" in other.stderr
    written = (out / "completions.parquet").stat().st_mtime_ns
    assert "(64 problems x 3" in command(*args, "--samples", 3, "--temperature", 1.0).stdout
    assert (out / "completions.parquet").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "give either --mixture or --tasks"),
        ({"mixture": "m", "tasks": ["gsm8k"]}, "give either --mixture or --tasks"),
        ({"tasks": ["gsm8k"], "prompt": "few"}, "--prompt few is unknown; use chat, plain, few-shot"),
    ],
)
def test_an_invalid_config_is_an_error(parity_run, fields, said):
    with pytest.raises(InputError, match=re.escape(said)):
        EvalConfig(model=str(parity_run / "sft"), out="e", **fields).check()


def test_missing_metrics_are_recomputed_also_through_a_link_to_another_disk(command, parity_run, tmp_path):
    """As when a process is killed between writing completions.parquet and metrics.json."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as disk:
        out = tmp_path / "eval"
        out.symlink_to(Path(disk) / "eval")
        args = ["--model", parity_run / "sft", "--mixture", parity_run / "mixture", "--problems", 4, "--max-truncated", 1.0]
        command("-m", "eval", "run", "--out", out, *args)
        assert out.is_symlink() and sorted(os.listdir(disk)) == ["eval"]
        metrics = read_metrics(str(out))
        (out / "metrics.json").unlink()
        command("-m", "eval", "run", "--out", out, *args)
        assert read_metrics(str(out)) == metrics
        assert sorted(os.listdir(out)) == ["completions.parquet", "metrics.json"]


def test_end_tokens_are_those_of_tokenizer_and_generation_config_else_config(llama, tmp_path):
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(llama["base"])
    AutoConfig.from_pretrained(llama["base"], eos_token_id=7).save_pretrained(tmp_path)
    own = end_ids(tokenizer)
    assert own[0] == tokenizer.eos_token_id and not {7, 8, 9} & set(own)
    assert end_ids(tokenizer, str(tmp_path)) == [*own, 7]
    GenerationConfig(eos_token_id=[own[0], 8, 9]).save_pretrained(tmp_path)
    assert end_ids(tokenizer, str(tmp_path)) == [*own, 8, 9]


def test_a_lazy_engine_starts_once_and_takes_the_seed_of_each_call(parity_run, monkeypatch):
    from transformers import AutoTokenizer

    path = str(parity_run / "sft")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    lazy, tokenizer = LazyEngine(), AutoTokenizer.from_pretrained(path)
    first, second = (lazy.load(path, tokenizer, 64, seed) for seed in (0, 1))
    assert first is second and isinstance(first, TransformersEngine) and first.seed == 1
    assert lazy.load(path, tokenizer, 65, 0) is first  # no limit without vLLM


def test_a_lazy_engine_loads_a_folder_again_whose_model_was_trained_further(parity_run, monkeypatch, tmp_path):
    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    path = shutil.copytree(parity_run / "sft", tmp_path / "sft")
    lazy, tokenizer = LazyEngine(), AutoTokenizer.from_pretrained(path)
    before = lazy.load(str(path), tokenizer, 64, 0).model
    assert lazy.load(str(path), tokenizer, 64, 0).model is before
    weights = load_file(path / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, path / "model.safetensors", {"format": "pt"})
    after = lazy.load(str(path), tokenizer, 64, 0).model.state_dict()
    assert all(after[name].equal(value + 1) for name, value in weights.items())


def test_vllm_and_transformers_agree_and_a_seed_determines_the_samples(parity_run, monkeypatch):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = str(parity_run / "sft")
    tokenizer = AutoTokenizer.from_pretrained(path)
    prompts = tokenizer([f"{i:016b}=" for i in range(3000, 3040)])["input_ids"]
    vllm = VLLMEngine(path, "float32", 64, seed=1)
    transformers = TransformersEngine(AutoModelForCausalLM.from_pretrained(path).eval(), tokenizer, seed=1)
    monkeypatch.setattr(engines, "BATCH", 7)
    end = frozenset([tokenizer.eos_token_id])
    sampled = Sampling(2, 0.9, 20, end)
    greedy = [in_order(engine.stream(prompts, Sampling(1, 0.0, 20, end))) for engine in (vllm, transformers)]
    assert greedy[0] == greedy[1]
    first, again, theirs = (in_order(engine.stream(prompts, sampled)) for engine in (vllm, vllm, transformers))
    some, their_some = (in_order(engine.stream(prompts[30:37], sampled, range(30, 37))) for engine in (vllm, transformers))
    assert first == again == theirs and first[30:37] == some == their_some
    assert len({len(ids) for samples in first for ids in samples}) > 3
    interrupted = vllm.stream(prompts, sampled)
    next(interrupted)
    interrupted.close()
    assert in_order(vllm.stream(prompts[30:37], sampled, range(30, 37))) == some  # none of the interrupted requests
    lazy = LazyEngine()
    lazy.engine, lazy.max_length = vllm, 64
    with pytest.raises(InputError, match="started for 64 tokens, and this eval needs 65"):
        lazy.load(path, tokenizer, 65, 0)


def test_the_precision_is_that_of_training_else_of_the_stored_weights(parity_run, llama, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    from eval.model_folder import choose_dtype

    assert choose_dtype(str(parity_run / "sft")) == "float32"
    model = AutoModelForCausalLM.from_pretrained(llama["base"])
    for dtype in ("float32", "bfloat16"):
        model.to(dtype=getattr(torch, dtype)).save_pretrained(tmp_path / dtype)
        assert choose_dtype(str(tmp_path / dtype)) == dtype
