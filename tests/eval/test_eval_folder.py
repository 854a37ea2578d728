"""Eval folders: columns, rescoring, paired comparison, and errors for folders that are not eval folders."""

import json
import re

import pytest

from eval.scoring.compare import compare, format_comparison
from eval.scoring.eval_folder import read_completions, read_metrics, write_folder

INFO = {"model": "runs/x/sft", "temperature": 0.0, "seed": 5, "max_tokens": 8}


def rows(*completions):
    meta = json.dumps({"style": "parity", "long": "1001"})
    return [
        {
            "problem_id": f"parity/{i}",
            "source": "parity",
            "sample": 0,
            "prompt": "1101=",
            "completion": text,
            "answer": "1",
            "meta": meta,
            "n_tokens": len(text),
            "truncated": False,
        }
        for i, text in enumerate(completions)
    ]


def test_a_folder_has_all_columns_and_rescoring_changes_nothing(tmp_path, command):
    folder = str(tmp_path / "eval")
    metrics = write_folder(folder, rows("1001", "1", "0", ""), INFO)
    read, info = read_completions(folder)
    names = "problem_id source sample prompt completion answer meta n_tokens truncated form extracted outcome strict_outcome"
    assert list(read[0]) == names.split()
    assert [r["outcome"] for r in read] == ["correct", "correct", "wrong", "unparseable"] and info == INFO
    (tmp_path / "eval" / "metrics.json").unlink()
    command("-m", "eval", "score", folder)
    assert read_metrics(folder) == metrics
    assert sorted(p.name for p in (tmp_path / "eval").iterdir()) == ["completions.parquet", "metrics.json"]


def test_comparison_is_paired_by_problem(tmp_path):
    write_folder(str(tmp_path / "a"), rows("1", "0", "0", "0"), INFO)
    write_folder(str(tmp_path / "b"), rows("1001", "1001", "0"), INFO)
    result = compare(str(tmp_path / "a"), str(tmp_path / "b"))
    assert result["n_problems"] == 3 and result["only_a"] == 1
    assert result["accuracy"]["difference"]["value"] == pytest.approx(1 / 3)
    assert result["length"]["difference"]["value"] == pytest.approx(2.0)
    assert result["flips"] == {"only_a_right": [], "only_b_right": ["parity/1"], "mcnemar_p": 1.0}
    said = format_comparison(result)
    assert "3 shared problems" in said and "right in only one: a 0, b 1; McNemar's exact p = 1\n  only b: parity/1" in said


def test_comparison_is_paired_within_each_source_and_value_of_meta(tmp_path, command):
    texts = {"a": ["1", "1", "0", "0"], "b": ["1", "0", "1001", "1"]}
    for name, completions in texts.items():
        two = rows(*completions)
        for i, one in enumerate(two):
            one |= {"source": "easy" if i < 2 else "hard", "meta": json.dumps(json.loads(one["meta"]) | {"steps": i // 2 + 1})}
        write_folder(str(tmp_path / name), two, INFO)
    by = compare(str(tmp_path / "a"), str(tmp_path / "b"))["by"]
    assert list(by) == ["source", "steps"] and list(by["source"]) == ["easy", "hard"] and list(by["steps"]) == ["1", "2"]
    assert by["source"]["hard"]["accuracy"] == {"a": 0.0, "b": 1.0, "difference": {"value": 1.0, "ci95": [1.0, 1.0]}}
    assert by["source"]["easy"]["accuracy"]["difference"]["value"] == -0.5 and by["source"]["easy"]["n_problems"] == 2
    done = command("-m", "eval", "compare", tmp_path / "a", tmp_path / "b")
    assert re.search(r"^hard +2 +0\.000 +1\.000 +\+1\.000   \[\+1\.000, \+1\.000\] +\+1\.5$", done.stdout, re.MULTILINE)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("other", "prompt", "said"),
    [
        ({"temperature": 1.0}, "1101=", "decoding (greedy, sampled at temperature 1)"),
        ({"asked": {"task": "math", "prompt": "chat"}}, "1101=", "benchmark (math500, math)"),
        ({"shots": 8}, "Q: 1101=", "worked examples (0, 8), prompts"),
    ],
)
def test_a_comparison_of_unlike_evals_warns_in_one_line(tmp_path, command, other, prompt, said):
    settings = INFO | {"asked": {"task": "math500", "prompt": "chat"}}
    write_folder(str(tmp_path / "a"), rows("1", "0"), settings)
    write_folder(str(tmp_path / "b"), [{**row, "prompt": prompt} for row in rows("1", "0")], settings | other)
    done = command("-m", "eval", "compare", tmp_path / "a", tmp_path / "b")
    warning = f"warning: {tmp_path}/a and {tmp_path}/b differ in more than the model: {said}\n"
    assert done.stderr == warning and "2 shared problems" in done.stdout
