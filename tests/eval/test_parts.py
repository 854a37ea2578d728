"""An eval that is killed again and again ends with every completion once, and with the metrics of one that was not."""

import pytest

from eval.folder import read_completions, read_metrics
from eval.parts import Parts


@pytest.fixture
def arguments(parity_run):
    where = ["--model", parity_run / "sft", "--mixture", parity_run / "mixture"]
    return ["-m", "eval", "run", *where, "--samples", 48, "--temperature", 1.0]


def test_killed_at_twenty_random_moments(command, arguments, tmp_path):
    said = command("-m", "tests.killed", "metrics.json", "--out", tmp_path, *arguments, OMP_NUM_THREADS="1").stdout
    assert said.endswith("\n20\n")
    theirs = read_completions(str(tmp_path / "whole"))[0]
    for killed in tmp_path.glob("killed-*"):
        ours = read_completions(str(killed))[0]
        assert [(row["problem_id"], row["sample"]) for row in ours] == [(row["problem_id"], row["sample"]) for row in theirs]
        assert read_metrics(str(killed)) == read_metrics(str(tmp_path / "whole"))
    assert not list(tmp_path.glob(".killed*"))


def test_parts_of_other_settings_are_not_taken(tmp_path):
    parts = Parts(str(tmp_path / "e"), {"seed": 0})
    parts.add(3, [[1, 2], [3]])
    parts.flush()
    assert Parts(str(tmp_path / "e"), {"seed": 0}).done == {3: [[1, 2], [3]]}
    assert Parts(str(tmp_path / "e"), {"seed": 1}).done == {}
    assert not Parts(str(tmp_path / "e"), {"seed": 1}).done
