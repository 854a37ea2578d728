"""`python -m rewards`: score, explain, audit."""

import json
import subprocess
import sys

from tests.conftest import ROOT


def test_score_keeps_lines_and_order_and_adds_columns(tmp_path, command):
    lines = [{"completion": "1 + 1 = 2\n#### 2", "gold": "2", "id": "a"}, {"completion": "so 3", "gold": "3"}]
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command("-m", "rewards", "score", source, out, "--style", "gsm8k")
    judged = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["completion"] for line in judged] == [line["completion"] for line in lines] and judged[0]["id"] == "a"
    assert [(line["extracted"], line["outcome"], line["strict_outcome"]) for line in judged] == [
        ("2", "correct", "correct"),
        (None, "unparseable", "unparseable"),
    ]
    assert all(line["ms"] >= 0 for line in judged)
    again = command("-m", "rewards", "score", source, out, check=False)
    assert again.returncode == 2 and "already exists" in again.stderr and again.stderr.count("\n") == 1


def test_an_invalid_line_is_reported_and_nothing_is_written(tmp_path, command):
    (tmp_path / "in.jsonl").write_text('{"completion": "#### 2", "gold": "2"}\n{"completion": 3}\n')
    done = command("-m", "rewards", "score", tmp_path / "in.jsonl", tmp_path / "out.jsonl", check=False)
    assert done.returncode == 2 and "in.jsonl:2: needs a JSON object" in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_explain_shows_the_extracted_answer_and_how_it_was_compared(command):
    printed = command("-m", "rewards", "explain", r"so $\boxed{\frac{1}{2}}$", "--gold", "0.5").stdout
    assert r"'\\frac{1}{2}'" in printed and "exact arithmetic" in printed and "outcome    correct (strict: correct)" in printed
    printed = command("-m", "rewards", "explain", r"<think>\boxed{1}</think> #### 2", "--gold", "2").stdout
    assert "extracted  '2' (strictly)" in printed and "outcome    correct (strict: correct)" in printed


def test_audit_lists_disagreements_between_strict_and_lenient(tmp_path, command):
    from eval.scoring.eval_folder import write_folder

    texts = ["#### 2", "the answer is 2", "#### 3"]
    rows = [
        {
            "problem_id": f"p{i}",
            "source": "mine",
            "sample": 0,
            "prompt": "?",
            "completion": text,
            "answer": "2",
            "meta": '{"style": "gsm8k"}',
            "n_tokens": 3,
            "truncated": False,
        }
        for i, text in enumerate(texts)
    ]
    metrics = write_folder(str(tmp_path / "e"), rows, {"model": "m", "temperature": 0.0, "seed": 0, "max_tokens": 9})
    assert metrics["accuracy"]["value"] == 2 / 3 and metrics["accuracy_strict"] == 1 / 3
    printed = command("-m", "rewards", "audit", tmp_path / "e" / "completions.parquet").stdout
    assert "p1: '2' for '2': lenient correct, strict unparseable" in printed and "1 of 3 completions" in printed


def test_audit_of_a_folder_lists_near_misses_with_the_most_frequent_first(tmp_path, command):
    import pyarrow as pa
    import pyarrow.parquet as pq

    answers = [("1.5", "15"), ("no", "on"), ("(1, 2)", "[1, 2]"), ("1.5", "15"), ("7", "8")]
    meta = {"meta": '{"style": "gsm8k"}', "truncated": False}
    rows = [{"problem_id": "p", "completion": f"#### {answer}", "answer": gold, **meta} for answer, gold in answers]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "completions.parquet")
    lines = command("-m", "rewards", "audit", tmp_path).stdout.splitlines()
    at = lines.index("4 of 5 wrong answers are near misses:")
    assert lines[at + 1 :] == [
        "     2 x '1.5' for '15': same digits",
        "     1 x 'no' for 'on': math-verify accepts it",
        "     1 x '(1, 2)' for '[1, 2]': same digits",
    ]
    done = command("-m", "rewards", "audit", tmp_path / "none", check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "cannot be read" in done.stderr


def test_output_that_nobody_reads_ends_quietly():
    line = f"{sys.executable} -m rewards explain 2 --gold 2 | true"
    done = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_an_output_that_cannot_be_written_is_found_before_the_scoring(tmp_path, monkeypatch, capsys):
    from rewards import scorer
    from rewards.__main__ import main

    monkeypatch.setattr(scorer, "score", lambda *_: 1 / 0)
    (tmp_path / "in.jsonl").write_text('{"completion": "2", "gold": "2"}\n')
    assert main(["score", str(tmp_path / "in.jsonl"), str(tmp_path / "none" / "out.jsonl")]) == 2
    assert "out.jsonl cannot be written (No such file or directory)" in capsys.readouterr().err
