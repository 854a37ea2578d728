"""`eval run` with real vLLM on a real checkpoint, and vLLM and transformers against each other."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from eval.scoring.eval_folder import read_completions, read_metrics


def test_run_asks_every_test_problem_and_never_overwrites(command, parity_run, tmp_path):
    out = tmp_path / "eval"
    args = ["-m", "eval", "run", "--model", parity_run / "sft", "--mixture", parity_run / "mixture", "--out", out]
    command(*args, "--samples", 3, "--temperature", 1.0)
    rows, info = read_completions(str(out))
    assert len(rows) == 64 * 3 and info["temperature"] == 1.0
    assert len({(row["problem_id"], row["sample"]) for row in rows}) == 64 * 3
    # a model this young may put a pad token in the middle: it has a length and no text
    assert all(row["n_tokens"] >= len(row["completion"]) for row in rows)
    assert max(row["n_tokens"] for row in rows) <= 32
    metrics = read_metrics(str(out))
    assert metrics["n_problems"] == 64 and set(metrics["pass_at_k"]) == {"1", "2", "3"}
    calibration = metrics["calibration"]
    assert calibration["p_cot"] == 0.25 and calibration["difference"]["value"] == pytest.approx(metrics["p_long"] - 0.25)
    other = command(*args, check=False)
    assert other.returncode == 2 and "holds another eval" in other.stderr
    written = (out / "completions.parquet").stat().st_mtime_ns
    assert "(64 problems x 3" in command(*args, "--samples", 3, "--temperature", 1.0).stdout
    assert (out / "completions.parquet").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--model", "./nowhere"], "no model there"),
        (["--model", "checkpoints/none"], "no model there (checkpoints does not exist)"),
        (["--mixture", "./nowhere"], "not a mixture folder"),
        (["--samples", "4"], "add --temperature 1.0"),
        (["--max-tokens", "100"], "more than the model's context of 64"),
    ],
)
def test_wrong_input_is_one_line(command, parity_run, tmp_path, change, said):
    args = {"--model": parity_run / "sft", "--mixture": parity_run / "mixture", "--out": tmp_path / "eval"}
    args.update(dict([change]))
    done = command("-m", "eval", "run", *(word for pair in args.items() for word in pair), check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(errors) == 1 and said in errors[0]
    assert not (tmp_path / "eval").exists()


def test_a_model_without_a_tokenizer_is_one_line(command, parity_run, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(parity_run / "sft", model, ignore=shutil.ignore_patterns("tokenizer*"))
    args = ["--model", model, "--mixture", parity_run / "mixture", "--out", tmp_path / "eval"]
    done = command("-m", "eval", "run", *args, check=False)
    assert done.returncode == 2 and f"error: --model {model}: no tokenizer there" in done.stderr


def test_an_eval_through_a_link_to_another_disk_is_scored_again_where_its_metrics_are_missing(command, parity_run, tmp_path):
    """As a process leaves it that dies between writing completions.parquet and metrics.json."""
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


def test_vllm_and_transformers_say_the_same_and_a_seed_gives_the_same_samples(parity_run):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from eval.generation.engines import Sampling, TransformersEngine, VLLMEngine, in_order

    path = str(parity_run / "sft")
    tokenizer = AutoTokenizer.from_pretrained(path)
    prompts = tokenizer([f"{i:016b}=" for i in range(3000, 3040)])["input_ids"]
    ours = VLLMEngine(path, "float32", 64, seed=1)
    theirs = TransformersEngine(AutoModelForCausalLM.from_pretrained(path).eval(), tokenizer, seed=1)
    end = frozenset([tokenizer.eos_token_id])
    drawn = Sampling(2, 1.0, 20, end)
    up_to_end = lambda made: [tokenizer.decode(samples[0]).split("<end>")[0] for samples in made]  # noqa: E731
    greedy = [in_order(engine.stream(prompts, Sampling(1, 0.0, 20, end))) for engine in (ours, theirs)]
    assert up_to_end(greedy[0]) == up_to_end(greedy[1])
    first, again = (in_order(ours.stream(prompts, drawn)) for _ in range(2))
    some = in_order(ours.stream(prompts[30:37], drawn, range(30, 37)))
    assert first == again and first[30:37] == some


def test_a_model_computes_in_the_precision_that_it_was_trained_or_stored_in(parity_run, llama, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    from eval.model_folder import choose_dtype

    assert choose_dtype(str(parity_run / "sft")) == "float32"
    model = AutoModelForCausalLM.from_pretrained(llama["base"])
    for dtype in ("float32", "bfloat16"):
        model.to(dtype=getattr(torch, dtype)).save_pretrained(tmp_path / dtype)
        assert choose_dtype(str(tmp_path / dtype)) == dtype
