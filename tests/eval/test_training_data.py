"""The warning that a model was trained on a benchmark's dataset: the chain of recipes, down to the mixture's manifest."""

import json

import pytest

from data_mix.card import describe
from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build, read_manifest
from eval.training_data import find_form_rule, find_trained_on
from rewards.scorer import find_form

RECORD = {"Body": "Ann has {i} pens.", "Question": "She gets 2 more. How many?", "Equation": "( {i} + 2 )", "Answer": "{j}"}


@pytest.fixture
def svamp(tmp_path):
    """A mixture of SVAMP's format, a model `sft` trained on it, and `grpo`, which started from a checkpoint of that."""
    (tmp_path / "svamp").mkdir()
    for split, start in (("train", 10), ("test", 40)):
        lines = [{k: v.format(i=i, j=i + 2) for k, v in RECORD.items()} for i in range(start, start + 20)]
        (tmp_path / "svamp" / f"{split}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    sources = [{"task": "svamp", "path": str(tmp_path / "svamp")}]
    build(parse_config({"p_cot": 0.5, "n_train": 10, "n_test": 4, "sources": sources}), str(tmp_path / "svamp-mixture"))
    build(
        parse_config({"p_cot": 0.5, "n_train": 10, "n_test": 4, "sources": [{"task": "parity", "d": 6}]}),
        str(tmp_path / "parity-mixture"),
    )
    (tmp_path / "sft" / "checkpoint-5").mkdir(parents=True)
    (tmp_path / "grpo").mkdir()
    (tmp_path / "sft" / "recipe.json").write_text(json.dumps({"mixture": str(tmp_path / "svamp-mixture")}))
    recipe = {"mixture": str(tmp_path / "parity-mixture"), "model_name_or_path": str(tmp_path / "sft" / "checkpoint-5")}
    (tmp_path / "grpo" / "recipe.json").write_text(json.dumps(recipe))
    return tmp_path


def test_the_chain_of_runs_leads_to_every_mixture(svamp):
    for model in ("sft", "sft/checkpoint-5", "grpo"):
        assert find_trained_on(str(svamp / model), "svamp", None) == str(svamp / "svamp-mixture")
        assert find_trained_on(str(svamp / model), "gsm8k", "openai/gsm8k") is None
    assert find_trained_on(str(svamp / "grpo"), "records", str(svamp / "svamp")) == str(svamp / "svamp-mixture")
    assert find_trained_on("meta-llama/Llama-3.2-1B", "svamp", None) is None


def test_a_mixture_that_is_gone_is_skipped(svamp):
    (svamp / "svamp-mixture" / "manifest.json").unlink()
    assert find_trained_on(str(svamp / "grpo"), "svamp", None) is None


def test_eval_run_warns_in_one_line(svamp, llama, command):
    recipe = (svamp / "sft" / "recipe.json").read_text()
    model = svamp / "model"
    model.symlink_to(llama["instruct"])
    own = svamp / "trained"
    own.mkdir()
    for path in model.iterdir():
        (own / path.name).symlink_to(path)
    (own / "recipe.json").write_text(recipe)
    args = ["--tasks", "svamp", "--data", svamp, "--problems", 2, "--max-tokens", 4, "--max-truncated", 1.0]
    done = command("-m", "eval", "run", "--model", own, "--out", svamp / "eval", *args)
    trained = f"{own} was trained on problems of this dataset ({svamp / 'svamp-mixture'})"
    assert done.stderr.count("was trained on") == 1
    assert f"warning: svamp: {trained}; its accuracy is not that on unseen data\n" in done.stderr


def test_own_forms_are_recognised_on_benchmarks_too(tmp_path):
    (tmp_path / "mine.jsonl").write_text(
        "\n".join(json.dumps({"q": f"{i} + 1?", "t": f"So {i + 1}.", "a": str(i + 1)}) for i in range(8))
    )
    source = {
        "task": "records",
        "name": "mine",
        "path": str(tmp_path / "mine.jsonl"),
        "question": "q",
        "solution": "t",
        "answer": "a",
    }
    forms = {"short": {}, "long": {"template": "<think>{t}</think>\n#### {answer}", "marker": "<think>"}}
    raw = {"p_cot": 0.5, "n_train": 4, "n_test": 2, "sources": [source], "forms": forms, "answer_style": "gsm8k"}
    build(parse_config(raw), str(tmp_path / "mixture"))
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / "recipe.json").write_text(json.dumps({"mixture": str(tmp_path / "mixture")}))
    rule = find_form_rule(str(tmp_path / "sft"))
    assert find_form("<think>2", {"style": "gsm8k", "forms": rule}) == "long"
    assert find_form("#### 2", {"style": "gsm8k", "forms": rule}) == "short"
    assert "recognition of forms wrong for held-out gold completions: long 0.0%" in describe(
        read_manifest(str(tmp_path / "mixture"))
    )
    assert find_form_rule(str(tmp_path / "other")) is None
