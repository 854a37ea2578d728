"""An eval that is killed again and again ends with every completion once, and with the metrics of one that was not."""

import pytest

from eval.folder import read_completions, read_metrics
from eval.parts import Parts


@pytest.fixture
def arguments(parity_run):
    where = ["--model", parity_run / "sft", "--mixture", parity_run / "mixture"]
    return ["-m", "eval", "run", *where, "--samples", 48, "--temperature", 1.0]


def test_killed_at_twenty_random_moments(command, arguments, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command(*arguments, "--out", whole)
    moments = [killed / "metrics.json", 20, 2, 7]
    said = command("-m", "tests.killed", *moments, *arguments, "--out", killed, OMP_NUM_THREADS="1").stdout
    assert int(said.split("\n")[-2]) > 2
    ours, theirs = (read_completions(str(folder))[0] for folder in (killed, whole))
    assert [(row["problem_id"], row["sample"]) for row in ours] == [(row["problem_id"], row["sample"]) for row in theirs]
    assert read_metrics(str(killed)) == read_metrics(str(whole))
    assert not list(tmp_path.glob(".killed*"))


def test_parts_of_other_settings_are_not_taken(tmp_path):
    parts = Parts(str(tmp_path / "e"), {"seed": 0})
    parts.add(3, [[1, 2], [3]])
    parts.flush()
    assert Parts(str(tmp_path / "e"), {"seed": 0}).done == {3: [[1, 2], [3]]}
    assert Parts(str(tmp_path / "e"), {"seed": 1}).done == {}
    assert not Parts(str(tmp_path / "e"), {"seed": 1}).done
