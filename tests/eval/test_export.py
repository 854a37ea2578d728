"""`eval export`: lm-eval results, model cards, and loading completions with datasets."""

import json

import pytest
import yaml

from eval.scoring.eval_folder import write_folder
from tests.eval.test_eval_folder import INFO, rows


@pytest.fixture
def folder(tmp_path):
    write_folder(str(tmp_path / "e"), rows("1001", "1", "0", "?"), INFO)
    return tmp_path / "e"


def test_lm_eval_results_have_both_filters_with_standard_errors(folder, command):
    results = json.loads(command("-m", "eval", "export", folder, "--format", "lm-eval").stdout)
    parity = results["results"]["parity"]
    assert parity["exact_match,flexible-extract"] == parity["exact_match,strict-match"] == 0.5
    assert parity["exact_match_stderr,flexible-extract"] == pytest.approx((0.25 / 3) ** 0.5)
    assert results["n-samples"]["parity"] == {"original": 4, "effective": 4}
    assert results["configs"]["parity"]["generation_kwargs"] == {"temperature": 0.0, "do_sample": False, "max_gen_toks": 8}


def test_a_model_card_accepts_the_model_index(folder, command, tmp_path):
    from huggingface_hub import EvalResult, ModelCard

    text = command("-m", "eval", "export", folder, "--format", "model-index").stdout
    card = ModelCard(f"---\n{text}---\n")
    [result] = card.data.eval_results
    assert isinstance(result, EvalResult) and result.metric_value == 0.5 and result.dataset_type == "parity"
    assert yaml.safe_load(text)["model-index"][0]["name"] == "runs/x/sft"


def test_completions_load_as_a_dataset(folder, tmp_path):
    from datasets import load_dataset

    data = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))["train"]
    assert data["outcome"] == ["correct", "correct", "wrong", "unparseable"] and data["n_tokens"] == [4, 1, 1, 1]
