"""Mixtures on the hub: their dataset card, and `data_mix push`."""

import pytest
from huggingface_hub import DatasetCard

from data_mix.__main__ import main
from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build
from tests.local_hub import local_hub


@pytest.fixture
def mixture(tmp_path):
    raw = {"p_cot": 0.25, "n_train": 8, "n_test": 4, "sources": [{"task": "parity", "d": 6}]}
    build(parse_config(raw), str(tmp_path / "mixture"))
    return tmp_path / "mixture"


def test_the_dataset_card_is_valid_and_says_how_to_load_it(mixture):
    card = DatasetCard.load(mixture / "README.md")
    assert card.data.task_categories == ["text-generation"] and "cotmix" in card.data.tags
    assert "load_dataset" in card.text and "p_cot 0.25" in card.text


def test_push_uploads_a_mixture(mixture, monkeypatch, capsys):
    with local_hub(monkeypatch) as hub:
        assert main(["push", str(mixture), "me/parity", "--private"]) == 0
    [created] = hub["created"]
    assert (created["name"], created["type"], created["visibility"]) == ("parity", "dataset", "private")
    assert sorted(hub["files"]) == ["README.md", "manifest.json", "test.parquet", "train.parquet"]
    assert hub["files"]["train.parquet"] == (mixture / "train.parquet").read_bytes()
    assert f"{mixture}: pushed to http://127.0.0.1" in capsys.readouterr().out


def test_a_refused_push_is_one_line(mixture, monkeypatch, capsys):
    with local_hub(monkeypatch, refuses=True):
        assert main(["push", str(mixture), "me/parity"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {mixture} cannot be pushed to me/parity (") and error.count("\n") == 1
    assert "run `hf auth login`" in error


def test_only_a_mixture_is_pushed(tmp_path, capsys):
    assert main(["push", str(tmp_path), "me/parity"]) == 2
    assert "not a mixture folder" in capsys.readouterr().err
