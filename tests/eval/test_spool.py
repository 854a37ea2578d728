"""A repeatedly killed eval run ends with the completions and metrics of an undisturbed one."""

import os

import pytest

from data_mix.errors import InputError
from eval.generation.spool import Spool
from eval.scoring.eval_folder import read_completions, read_metrics


@pytest.fixture
def arguments(parity_run):
    where = ["--model", parity_run / "sft", "--mixture", parity_run / "mixture"]
    return ["-m", "eval", "run", *where, "--samples", 48, "--temperature", 1.0]


@pytest.mark.slow
def test_killed_at_eight_moments(command, arguments, tmp_path):
    said = command("-m", "tests.killed", "metrics.json", "--out", tmp_path, *arguments, OMP_NUM_THREADS="1").stdout
    assert said.endswith("\n8\n")
    expected = read_completions(str(tmp_path / "whole"))[0]
    for killed in tmp_path.glob("killed-*"):
        resumed = read_completions(str(killed))[0]
        ids = [[(row["problem_id"], row["sample"]) for row in rows] for rows in (resumed, expected)]
        assert ids[0] == ids[1]
        assert read_metrics(str(killed)) == read_metrics(str(tmp_path / "whole"))
    assert not list(tmp_path.glob(".killed*"))


@pytest.fixture
def interrupted(tmp_path):
    """The path of an eval folder whose process was killed after writing its first part, with seed 0."""
    spool = Spool(str(tmp_path / "e"), {"samples": 2, "seed": 0})
    spool.add(3, [[1, 2], [3]])
    spool.flush()
    spool.lock.close()
    return tmp_path / "e"


def test_parts_with_other_settings_are_neither_used_nor_lost(interrupted):
    with pytest.raises(InputError, match=r"\.e\.run holds completions .* \(seed was 0, now 1\)"):
        Spool(str(interrupted), {"samples": 2, "seed": 1})
    assert Spool(str(interrupted), {"samples": 2, "seed": 0}).done == {3: [[1, 2], [3]]}


def test_a_second_process_is_told_who_holds_the_lock(interrupted):
    first = Spool(str(interrupted), {"samples": 2, "seed": 0})
    with pytest.raises(InputError, match=rf"in use by process {os.getpid()} on .*, started "):
        Spool(str(interrupted), {"samples": 2, "seed": 0})
    first.remove()
    assert Spool(str(interrupted), {"samples": 2, "seed": 0}).done == {}


def test_empty_settings_are_an_error_only_if_there_are_parts(interrupted):
    settings = interrupted.with_name(".e.run") / "settings.json"
    settings.write_text("")
    with pytest.raises(InputError, match="settings.json cannot be read"):
        Spool(str(interrupted), {"seed": 0})
    (settings.parent / "part-00000.parquet").unlink()
    assert Spool(str(interrupted), {"seed": 0}).done == {} and settings.read_text() == '{"seed": 0}'
