"""Mixture folders are written atomically, are reproducible byte for byte, and can be read by `load_dataset`."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from data_mix.errors import InputError
from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build, read_rows, verify
from data_mix.show import diff, show
from tests.conftest import ROOT

RAW = {"p_cot": 0.25, "n_train": 200, "n_test": 40, "seed": 3, "sources": [{"task": "parity", "d": 12}]}


def test_the_command_builds_identical_bytes_described_by_the_manifest(tmp_path, command):
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
    text = show(str(tmp_path / "a"))
    assert "200 train rows" in text and "--- long" in text and "--- short" in text and "parity: 200 drawn; 200 left" in text


def test_verify_rebuilds_and_finds_an_edited_file(tmp_path, command):
    build(parse_config(RAW), str(tmp_path / "a"))
    assert "identical to a rebuild from its manifest" in command("-m", "data_mix", "verify", tmp_path / "a").stdout
    other = build(parse_config({**RAW, "seed": 4}), str(tmp_path / "b"))
    assert other["seed"] == 4
    (tmp_path / "a" / "train.parquet").write_bytes((tmp_path / "b" / "train.parquet").read_bytes())
    with pytest.raises(InputError, match=r"train\.parquet differ from a rebuild from the manifest \(edited\?\)"):
        verify(str(tmp_path / "a"))


def test_diff_lists_the_differences_of_two_mixtures(tmp_path):
    build(parse_config(RAW), str(tmp_path / "a"))
    build(parse_config({**RAW, "p_cot": 0.5}), str(tmp_path / "b"))
    text = diff(str(tmp_path / "a"), str(tmp_path / "b"))
    assert "config.forms: {'long': 0.25, 'short': 0.75} -> {'long': 0.5, 'short': 0.5}" in text
    assert "rows parity long: 50 -> 100" in text and "test: identical, byte for byte" in text
    assert "train: 200 problems in both (50 in another form), 0 only in a, 0 only in b" in text


def test_build_never_touches_a_folder_with_content(tmp_path):
    (tmp_path / "precious").write_text("1")
    with pytest.raises(InputError, match="exists already"):
        build(parse_config(RAW), str(tmp_path))
    assert (tmp_path / "precious").read_text() == "1"


def test_a_failed_build_leaves_nothing_behind(tmp_path):
    with pytest.raises(InputError):
        build(parse_config({**RAW, "sources": [{"task": "parity", "d": 3}]}), str(tmp_path / "m"))
    assert not list(tmp_path.iterdir())


def test_the_target_of_a_link_is_built_if_missing_or_empty_and_otherwise_rejected_at_once(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing", "full"):
        (tmp_path / f"to-{name}").symlink_to(tmp_path / name)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("1")
    for name in ("empty", "missing"):
        build(parse_config(RAW), str(tmp_path / f"to-{name}"))
        assert (tmp_path / f"to-{name}").is_symlink() and (tmp_path / name / "manifest.json").is_file()
    wrong = {**RAW, "sources": [{"task": "parity", "d": 3}]}  # an error raised later, when the problems are drawn
    with pytest.raises(InputError, match="to-full exists already"):
        build(parse_config(wrong), str(tmp_path / "to-full"))
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["precious"]


@pytest.mark.parametrize("out", ["file/m", "file/deep/m", "/proc/nothing/m", "/proc/m"])
def test_an_output_that_cannot_be_written_is_a_one_line_error_before_the_build(tmp_path, out):
    (tmp_path / "file").write_text("1")
    wrong = {**RAW, "sources": [{"task": "parity", "d": 3}]}
    with pytest.raises(InputError, match="m cannot be built") as error:
        build(parse_config(wrong), str(tmp_path / out))
    assert "\n" not in str(error.value) and (tmp_path / "file").read_text() == "1"


def start(tmp_path, out, n_train=400_000):
    """Starts a build in another process; it takes a second or two."""
    raw = {**RAW, "n_train": n_train, "sources": [{"task": "parity", "d": 40}]}
    (tmp_path / f"{n_train}.yaml").write_text(json.dumps(raw))
    line = [sys.executable, "-m", "data_mix", "build", str(tmp_path / f"{n_train}.yaml"), "--out", str(out)]
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL}

    def heed_interrupts():  # processes that a shell starts in the background ignore SIGINT
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return subprocess.Popen(line, cwd=ROOT, preexec_fn=heed_interrupts, text=True, **pipes)


def test_of_two_concurrent_builds_one_succeeds_and_the_other_gives_a_one_line_error(tmp_path):
    out = tmp_path / "new" / "m"
    builds = [start(tmp_path, out, n) for n in (300_000, 301_000)]
    errors = [build.communicate(timeout=120)[1] for build in builds]
    assert sorted(build.returncode for build in builds) == [0, 2]
    loser = next(text for build, text in zip(builds, errors, strict=True) if build.returncode == 2)
    assert loser.splitlines()[-1].startswith(f"error: {out} exists already") and "Traceback" not in loser
    assert [path.name for path in out.parent.iterdir()] == ["m"]
    verify(str(out))


def test_an_interrupted_build_leaves_nothing_behind(tmp_path):
    (tmp_path / "runs").mkdir()
    process = start(tmp_path, tmp_path / "runs" / "new" / "m", 3_000_000)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "runs").glob("new/.m.*.part/train.parquet")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0 and not list((tmp_path / "runs").iterdir())


def test_temporary_folders_of_killed_builds_are_removed_by_the_next_build(tmp_path):
    process = start(tmp_path, tmp_path / "m", 3_000_000)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".m.*.part")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=60)
    assert list(tmp_path.glob(".m.*.part"))
    build(parse_config(RAW), str(tmp_path / "m"))
    assert not list(tmp_path.glob(".m.*.part"))


def test_load_dataset_finds_both_splits_through_the_dataset_card(tmp_path):
    from datasets import load_dataset

    build(parse_config({**RAW, "prompt_format": "chat", "system": "Be brief."}), str(tmp_path / "m"))
    data = load_dataset(str(tmp_path / "m"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in data.items()} == {"train": 200, "test": 40}
    row = data["train"][0]
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    assert row["completion"][0]["role"] == "assistant"
    assert json.loads(row["meta"])["style"] == "parity"


def test_the_current_folder_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="is the current folder"):
        build(parse_config(RAW), ".")
