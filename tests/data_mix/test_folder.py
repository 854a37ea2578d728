"""The mixture folder: whole or not at all, complete, the same to the byte, and read by the field's own tools."""

import json

import pytest

from data_mix.config import parse_config
from data_mix.errors import InputError
from data_mix.folder import build, read_rows, verify
from data_mix.show import diff, show

RAW = {"p_cot": 0.25, "n_train": 200, "n_test": 40, "seed": 3, "sources": [{"task": "parity", "d": 12}]}


def test_the_command_builds_the_same_bytes_and_the_manifest_says_what(tmp_path, command):
    manifest = build(parse_config(RAW), str(tmp_path / "a"))
    config = tmp_path / "mixture.yaml"
    config.write_text("{p_cot: 0.25, n_train: 200, n_test: 40, seed: 3, sources: [{task: parity, d: 12}]}")
    command("-m", "data_mix", "build", config, "--out", tmp_path / "b", PYTHONHASHSEED="7")
    for name in ("train.parquet", "test.parquet", "manifest.json", "README.md"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert {c["form"]: c["rows"] for c in manifest["counts"]} == {"long": 50, "short": 150}
    assert {c["form"]: (c["p50"], c["max"], c["total"]) for c in manifest["counts"]} == {
        "long": (12, 12, 600),
        "short": (1, 1, 150),
    }
    assert manifest["rows"] == {"train": 200, "test": 40}
    assert read_rows(str(tmp_path / "a"), "train")[0]["meta"]["style"] == "parity"


def test_show_prints_counts_lengths_and_rows(tmp_path):
    build(parse_config(RAW), str(tmp_path / "a"))
    shown = show(str(tmp_path / "a"))
    assert "200 train rows" in shown and "--- long" in shown and "--- short" in shown and "parity: 200 drawn; 200 left" in shown


def test_verify_builds_again_and_finds_an_edited_file(tmp_path, command):
    build(parse_config(RAW), str(tmp_path / "a"))
    assert "to the byte" in command("-m", "data_mix", "verify", tmp_path / "a").stdout
    other = build(parse_config({**RAW, "seed": 4}), str(tmp_path / "b"))
    assert other["seed"] == 4
    (tmp_path / "a" / "train.parquet").write_bytes((tmp_path / "b" / "train.parquet").read_bytes())
    with pytest.raises(InputError, match=r"train\.parquet differ from what its manifest builds \(edited\?\)"):
        verify(str(tmp_path / "a"))


def test_diff_says_what_tells_two_mixtures_apart(tmp_path):
    build(parse_config(RAW), str(tmp_path / "a"))
    build(parse_config({**RAW, "p_cot": 0.5}), str(tmp_path / "b"))
    said = diff(str(tmp_path / "a"), str(tmp_path / "b"))
    assert "config.forms: {'long': 0.25, 'short': 0.75} -> {'long': 0.5, 'short': 0.5}" in said
    assert "rows parity long: 50 -> 100" in said and "test: the same to the byte" in said
    assert "train: 200 problems in both (50 in another form), 0 only in a, 0 only in b" in said


def test_build_never_touches_a_folder_that_exists(tmp_path):
    (tmp_path / "precious").write_text("1")
    with pytest.raises(InputError, match="exists already"):
        build(parse_config(RAW), str(tmp_path))
    assert (tmp_path / "precious").read_text() == "1"


def test_a_build_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(InputError):
        build(parse_config({**RAW, "sources": [{"task": "parity", "d": 3}]}), str(tmp_path / "m"))
    assert not list(tmp_path.iterdir())


def test_load_dataset_finds_both_splits_by_the_card(tmp_path):
    from datasets import load_dataset

    build(parse_config({**RAW, "prompt_format": "chat", "system": "Be brief."}), str(tmp_path / "m"))
    data = load_dataset(str(tmp_path / "m"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in data.items()} == {"train": 200, "test": 40}
    row = data["train"][0]
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    assert row["completion"][0]["role"] == "assistant"
    assert json.loads(row["meta"])["style"] == "parity"
