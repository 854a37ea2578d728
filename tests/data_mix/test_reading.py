"""A user's own data: jsonl or parquet by column names; broken records are counted and named, never passed over."""

import json

import pytest

from data_mix.errors import InputError
from data_mix.tasks import gsm8k, math, records, svamp
from tests.data_mix.helpers import rows_of, write_jsonl

MINE = [{"q": f"What is {i} plus {i}, please?", "worked": f"{i} + {i} = {2 * i}\nDone.", "a": 2 * i} for i in range(1, 41)]
SOURCE = {"task": "records", "name": "mine", "question": "q", "solution": "worked", "answer": "a"}


def test_a_user_s_file_becomes_a_mixture_without_python(tmp_path):
    path = write_jsonl(tmp_path / "mine.jsonl", MINE)
    train, test = rows_of({"p_cot": 0.5, "n_train": 30, "n_test": 10, "sources": [{**SOURCE, "path": path}]})
    assert {row["source"] for row in train} == {"mine"}
    assert not {row["problem_id"] for row in train} & {row["problem_id"] for row in test}
    long = next(row for row in train if row["form"] == "long")
    number = int(long["answer"]) // 2
    assert long["completion"][0]["content"] == f"{number} + {number} = {2 * number}\nDone.\n#### {2 * number}"


def test_parquet_and_a_folder_with_splits_read_the_same(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "splits").mkdir()
    pq.write_table(pa.Table.from_pylist(MINE[:30]), tmp_path / "splits" / "train.parquet")
    write_jsonl(tmp_path / "splits" / "test.jsonl", MINE[30:])
    train, test = rows_of(
        {"p_cot": 0, "n_train": None, "n_test": 10, "sources": [{**SOURCE, "path": str(tmp_path / "splits")}]}
    )
    assert len(train) == 30 and len(test) == 10


def test_steps_may_be_a_list_and_the_answer_may_stand_in_the_solution(tmp_path):
    path = write_jsonl(tmp_path / "s.jsonl", [{"question": "?", "steps": ["a", "b"], "answer": "7"}])
    [problem] = records.read("refuse", path=path, name="mine", steps="steps", answer="answer").train
    assert problem.steps == ("a", "b") and problem.answer == "7"
    path = write_jsonl(tmp_path / "t.jsonl", [{"question": "?", "solution": "First this. So it is $\\boxed{7}$."}])
    [problem] = records.read("refuse", path=path, name="mine", solution="solution").train
    assert problem.steps == ("First this.", "So it is $\\boxed{7}$.") and problem.answer == "7"


@pytest.fixture
def broken(tmp_path):
    """A file with 500 good records and 1,000 broken ones of every kind."""
    good = {"question": "1 + 1?", "answer": "1 + 1 = 2\n#### 2"}
    bad = [
        b"{broken",
        b"[1, 2]",
        b"\xff\xfe{}",
        b"",
        b"[" * 100_000,
        json.dumps({"question": "no answer"}).encode(),
        json.dumps({**good, "question": ""}).encode(),
        json.dumps({**good, "answer": "#### "}).encode(),
        json.dumps({**good, "question": 5}).encode(),
        json.dumps({**good, "question": "a\0b"}).encode(),
        json.dumps({**good, "question": "half \ud800"}).encode(),
        json.dumps({**good, "answer": ["#### 2"]}).encode(),
        json.dumps({**good, "answer": None}).encode(),
    ]
    long = json.dumps({**good, "question": "x" * 1_000_000}).encode()
    lines = [bad[i % len(bad)] for i in range(997)] + [long] * 3
    lines += [json.dumps({**good, "question": f"{i} + 1 - {i}?"}).encode() for i in range(500)]
    (tmp_path / "train.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    write_jsonl(tmp_path / "test.jsonl", [good])
    return tmp_path


def test_a_thousand_broken_lines_are_one_error_that_counts_and_names_the_first(broken, tmp_path, command):
    config = tmp_path / "m.yaml"
    config.write_text(f"{{p_cot: 0.5, n_train: 400, n_test: 1, sources: [{{task: gsm8k, path: '{broken}'}}]}}")
    done = command("-m", "data_mix", "build", config, "--out", tmp_path / "out", check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and len(done.stderr) < 1000
    assert "1000 of 1501 records are broken" in done.stderr and "train.jsonl:1: not JSON" in done.stderr
    assert "on_error: drop" in done.stderr and not (tmp_path / "out").exists()


def test_or_they_are_dropped_and_counted_where_the_config_says_so(broken, tmp_path, command):
    config = tmp_path / "m.yaml"
    config.write_text(f"{{p_cot: 0.5, n_train: 400, n_test: 1, on_error: drop, sources: [{{task: gsm8k, path: '{broken}'}}]}}")
    command("-m", "data_mix", "build", config, "--out", tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["sources"]["gsm8k"]["broken"] == 1000 and manifest["rows"]["train"] == 400


def test_svamp_s_steps_are_its_equation(data):
    read = svamp.read("drop", path=str(data / "svamp" / "test.jsonl"))
    assert len(read.train) == 999 and read.broken["train"] == 1  # one answer is not what its equation gives
    first = read.train[0]
    assert first.steps == ("290 / 2 = 145",) and first.answer == "145"
    assert svamp.solve("( ( 3.0 + 2.0 ) * 4.0 )")[0] == ["3 + 2 = 5", "5 * 4 = 20"]
    with pytest.raises(InputError, match="numbers and"):
        svamp.solve("__import__('os').getcwd()")


def test_calculator_marks_go_by_default_and_stay_on_request(tmp_path):
    path = write_jsonl(tmp_path / "g.jsonl", [{"question": "?", "answer": "48/2 = <<48/2=24>>24\n#### 1,024"}])
    assert gsm8k.read("refuse", path=path).train[0].steps == ("48/2 = 24",)
    assert gsm8k.read("refuse", path=path, calculator=True).train[0].steps == ("48/2 = <<48/2=24>>24",)
    assert gsm8k.read("refuse", path=path).train[0].answer == "1024"


@pytest.mark.parametrize("path", ["./nowhere", "mine.jsonl", "~/data"])
def test_a_path_that_leads_nowhere_says_so(path):
    with pytest.raises(InputError, match="no such file or folder, and not a hub id"):
        math.read("refuse", path=path)


def test_a_folder_with_a_test_split_alone_is_not_trained_on(data):
    with pytest.raises(InputError, match="has no train split"):
        rows_of({"p_cot": 0.5, "n_train": 10, "n_test": 1, "sources": [{"task": "math", "path": str(data / "math500")}]})
