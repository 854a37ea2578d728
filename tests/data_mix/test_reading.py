"""Reading records from jsonl and parquet: columns by name, and broken records reported or counted."""

import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_mix.errors import InputError
from data_mix.lengths import LengthCounter
from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build
from data_mix.reading import _parquet
from data_mix.tasks import gsm8k, math, records, svamp
from tests.data_mix.helpers import rows_of, write_jsonl

MINE = [{"q": f"What is {i} plus {i}, please?", "worked": f"{i} + {i} = {2 * i}\nDone.", "a": 2 * i} for i in range(1, 41)]
TEXTS = [{**record, "a": str(record["a"])} for record in MINE]
SOURCE = {"task": "records", "name": "mine", "question": "q", "solution": "worked", "answer": "a"}


def test_a_user_s_file_becomes_a_mixture_without_code(tmp_path):
    path = write_jsonl(tmp_path / "mine.jsonl", MINE)
    train, test = rows_of({"p_cot": 0.5, "n_train": 30, "n_test": 10, "sources": [{**SOURCE, "path": path}]})
    assert {row["source"] for row in train} == {"mine"}
    assert not {row["problem_id"] for row in train} & {row["problem_id"] for row in test}
    long = next(row for row in train if row["form"] == "long")
    number = int(long["answer"]) // 2
    assert long["completion"][0]["content"] == f"{number} + {number} = {2 * number}\nDone.\n#### {2 * number}"


def test_parquet_and_a_folder_with_splits_read_the_same(tmp_path):
    (tmp_path / "splits").mkdir()
    pq.write_table(pa.Table.from_pylist(MINE[:30]), tmp_path / "splits" / "train.parquet")
    write_jsonl(tmp_path / "splits" / "test.jsonl", MINE[30:])
    sources = [{**SOURCE, "path": str(tmp_path / "splits")}]
    train, test = rows_of({"p_cot": 0, "n_train": None, "n_test": 10, "sources": sources})
    assert len(train) == 30 and len(test) == 10


def test_steps_may_be_a_list_and_the_answer_may_be_in_the_solution(tmp_path):
    path = write_jsonl(tmp_path / "s.jsonl", [{"question": "?", "steps": ["a", "b"], "answer": "7"}])
    [problem] = records.read("refuse", path=path, name="mine", steps="steps", answer="answer").train
    assert problem.steps == ("a", "b") and problem.answer == "7"
    path = write_jsonl(tmp_path / "t.jsonl", [{"question": "?", "solution": "First this. So it is $\\boxed{7}$."}])
    [problem] = records.read("refuse", path=path, name="mine", solution="solution").train
    assert problem.steps == ("First this.", "So it is $\\boxed{7}$.") and problem.answer == "7"


@pytest.fixture
def broken(tmp_path):
    """A folder with 500 valid records and 1,000 broken ones of every kind."""
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


def test_a_thousand_broken_lines_are_one_error_with_their_number_and_the_first_of_them(broken, tmp_path, command):
    config = tmp_path / "m.yaml"
    config.write_text(f"{{p_cot: 0.5, n_train: 400, n_test: 1, sources: [{{task: gsm8k, path: '{broken}'}}]}}")
    done = command("-m", "data_mix", "build", config, "--out", tmp_path / "out", check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and len(done.stderr) < 1000
    assert "1000 of 1501 records are broken" in done.stderr and "train.jsonl:1: not JSON" in done.stderr
    assert "on_error: drop" in done.stderr and not (tmp_path / "out").exists()


def test_broken_records_are_dropped_and_counted_with_on_error_drop(broken, tmp_path, command):
    config = tmp_path / "m.yaml"
    config.write_text(f"{{p_cot: 0.5, n_train: 400, n_test: 1, on_error: drop, sources: [{{task: gsm8k, path: '{broken}'}}]}}")
    command("-m", "data_mix", "build", config, "--out", tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["sources"]["gsm8k"]["broken"] == 1000 and manifest["rows"]["train"] == 400


def test_svamp_steps_are_the_operations_of_the_equation(data):
    read = svamp.read("drop", path=str(data / "svamp" / "test.jsonl"))
    assert len(read.train) == 999 and read.broken["train"] == 1  # one answer differs from the result of its equation
    first = read.train[0]
    assert first.steps == ("290 / 2 = 145",) and first.answer == "145"
    assert svamp.solve("( ( 3.0 + 2.0 ) * 4.0 )")[0] == ["3 + 2 = 5", "5 * 4 = 20"]
    with pytest.raises(InputError, match="numbers and"):
        svamp.solve("__import__('os').getcwd()")


def test_calculator_annotations_are_removed_by_default_and_kept_on_request(tmp_path):
    path = write_jsonl(tmp_path / "g.jsonl", [{"question": "?", "answer": "48/2 = <<48/2=24>>24\n#### 1,024"}])
    assert gsm8k.read("refuse", path=path).train[0].steps == ("48/2 = 24",)
    assert gsm8k.read("refuse", path=path, calculator=True).train[0].steps == ("48/2 = <<48/2=24>>24",)
    assert gsm8k.read("refuse", path=path).train[0].answer == "1024"


def test_the_calculators_equations_can_be_the_steps(tmp_path, data):
    record = {
        "question": "?",
        "answer": "He has 48/2 = <<48/2=24>>24.\nNow 24+1=<<24+1=25>>25, 2 times <<25*2=50>>50.\n#### 50",
    }
    path = write_jsonl(tmp_path / "g.jsonl", [record, {"question": "!", "answer": "He has 7.\n#### 7"}])
    read = gsm8k.read("refuse", path=path, calculator="only")
    assert [problem.steps for problem in read.train] == [("48/2 = 24", "24+1 = 25", "25*2 = 50")] and read.broken["train"] == 1
    real = gsm8k.read("refuse", path=str(data / "gsm8k"), calculator="only")
    assert (len(real.train), len(real.test)) == (7473 - 95, 1319 - 18)


@pytest.mark.parametrize("path", ["./nowhere", "mine.jsonl", "~/data"])
def test_a_missing_path_is_an_error(path):
    with pytest.raises(InputError, match="no such file or folder, and not a hub id"):
        math.read("refuse", path=path)


@pytest.mark.parametrize("path", ["models/x", "runs/x", "data/x", "recipes/gsm8k-mine", "tests/x"])
def test_names_that_look_like_local_paths_are_not_looked_up_on_the_hub(path, tmp_path, monkeypatch):
    """The owner is an existing folder, or a usual folder name; the error names the missing part of the path."""
    monkeypatch.chdir(tmp_path)
    for folder in ("recipes", "tests"):
        (tmp_path / folder).mkdir()
    missing = path if path.split("/")[0] in ("recipes", "tests") else path.split("/")[0]
    with pytest.raises(InputError, match=rf"path '{path}': no such file or folder, and not a hub id .*; {missing} is missing"):
        math.read("refuse", path=path)
    with pytest.raises(InputError, match=rf"tokenizer '{path}': no such folder, and not a hub id .*; {missing} is missing"):
        LengthCounter(path)


def test_a_byte_order_mark_and_trailing_blank_lines_are_ignored_and_a_blank_line_between_records_is_broken(tmp_path):
    lines = [json.dumps({"question": f"{i}?", "answer": f"#### {i}"}) for i in range(3)]
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + "\n".join(lines).encode() + b"\n\n \r\n\n")
    read = gsm8k.read("refuse", path=str(tmp_path / "a.jsonl"))
    assert [problem.prompt for problem in read.train] == ["0?", "1?", "2?"] and read.broken == {"train": 0}
    (tmp_path / "b.jsonl").write_text("\n".join([lines[0], "", "", lines[1]]) + "\n")
    read = gsm8k.read("drop", path=str(tmp_path / "b.jsonl"))
    assert [problem.id for problem in read.train] == ["gsm8k/train/0", "gsm8k/train/3"] and read.broken == {"train": 2}


def test_text_after_the_answer_line_is_broken(tmp_path):
    good = {"question": "??", "answer": "6 * 12 = 72\n#### 72"}
    path = write_jsonl(tmp_path / "g.jsonl", [{"question": "?", "answer": "6 * 12 = 72\n#### 72\nmore text"}, good])
    with pytest.raises(InputError, match="`answer` continues after the line `#### 72`"):
        gsm8k.read("refuse", path=path)
    assert gsm8k.read("drop", path=path).broken == {"train": 1}
    with pytest.raises(InputError, match="ends neither in `#### N`"):
        records.read("refuse", path=path, name="mine", solution="answer")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), [float("nan")]])
def test_a_number_that_is_not_finite_is_broken(tmp_path, value):
    path = write_jsonl(tmp_path / "n.jsonl", [{"question": "?", "steps": ["a"], "answer": value}])
    with pytest.raises(InputError, match="`answer` is -?(nan|inf), not a finite number"):
        records.read("refuse", path=path, name="mine", steps="steps", answer="answer")


def test_text_may_be_inf_and_an_integer_may_be_large(tmp_path):
    """`inf` can be the answer to a limit, and `Nan` a name."""
    answers = ["inf", "Nan", 10**400]
    path = write_jsonl(tmp_path / "n.jsonl", [{"question": f"{a}?", "steps": ["a"], "answer": a} for a in answers])
    read = records.read("refuse", path=path, name="mine", steps="steps", answer="answer").train
    assert [problem.answer for problem in read] == list(map(str, answers))


@pytest.mark.parametrize("worked", ["3 + 4 = 7\n#### 7", "So it is $\\boxed{7}$.", ["3 + 4", "#### 7"]])
def test_a_solution_that_contradicts_the_answer_is_broken(tmp_path, worked):
    column = {"steps": "worked"} if isinstance(worked, list) else {"solution": "worked"}

    def read(answer):
        path = write_jsonl(tmp_path / "r.jsonl", [{"question": "?", "worked": worked, "answer": answer}])
        return records.read("refuse", path=path, name="mine", answer="answer", **column).train

    for equal in (7, 7.0, "7", "7.0", "\\frac{14}{2}", "$7"):
        assert len(read(equal)) == 1
    for other in (8, "-7", "seven apples"):
        with pytest.raises(InputError, match=r"`answer` is '.*', but `worked` ends in '7'"):
            read(other)


def test_a_markdown_heading_is_part_of_the_solution(tmp_path):
    worked = "#### Add\n3 + 4 = 7\n#### Double\n7 * 2 = 14"
    path = write_jsonl(tmp_path / "r.jsonl", [{"question": "?", "worked": worked, "answer": 14}])
    [problem] = records.read("refuse", path=path, name="mine", solution="worked", answer="answer").train
    assert problem.steps == tuple(worked.split("\n")) and problem.answer == "14"


def test_a_duplicate_id_is_broken(tmp_path):
    record = {"problem": "1 + 1?", "solution": "\\boxed{2}", "unique_id": "a"}
    (tmp_path / "m").mkdir()
    write_jsonl(tmp_path / "m" / "train.jsonl", [record])
    write_jsonl(tmp_path / "m" / "test.jsonl", [record])
    with pytest.raises(InputError, match=r"test\.jsonl:1: duplicate id 'a'"):
        math.read("refuse", path=str(tmp_path / "m"))


def repeated(n, text):
    """A column that repeats `text` n times and takes a few bytes in parquet."""
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), n), pa.array([text]))


def steps(rows, each, text):
    return pa.ListArray.from_arrays(pa.array(range(0, rows * each + 1, each), pa.int32()), repeated(rows * each, text))


# kind: rows, question, steps per row, step, number of times the table is written, dictionary encoding
BOMBS = {
    "a text in a dictionary": (3000, "x" * 90_000, 1, "-", 1, True),
    "compressed text": (300, "x" * 90_000, 1, "-", 100, False),
    "one long list": (1, "x", 200_000, "x" * 20_000, 1, True),
    "many lists": (100, "x", 1000, "x" * 20_000, 1, True),
    "many rows": (2_000_000, "x", 1, "-", 1, True),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_parquet_decompression_bomb_is_rejected_in_bounded_memory(tmp_path, command, kind):
    rows, question, each, step, times, dictionary = BOMBS[kind]
    columns = {"question": repeated(rows, question), "answer": repeated(rows, "#### 1"), "steps": steps(rows, each, step)}
    table = pa.table(columns)
    with pq.ParquetWriter(tmp_path / "bomb.parquet", table.schema, compression="zstd", use_dictionary=dictionary) as writer:
        for _ in range(times):
            writer.write_table(table)
    assert (tmp_path / "bomb.parquet").stat().st_size < 400_000
    code = (
        "import resource, pyarrow.parquet, pyarrow.compute; from data_mix.errors import InputError\n"
        "from data_mix.tasks import gsm8k\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10\n"
        "before = peak()\n"
        f"try: gsm8k.read('drop', path={str(tmp_path / 'bomb.parquet')!r})\n"
        "except InputError as error: print(peak() - before, error)"
    )
    megabytes, message = command("-c", code).stdout.split(" ", 1)
    assert int(megabytes) < 250 and "bomb.parquet: expands to more than 128 MiB" in message and message.count("\n") == 1


def test_parquet_columns_of_all_types_are_read_unchanged(tmp_path):
    table = pa.table(
        {
            "text": ["a", None, "a"],
            "categories": pa.array([2, 1, 2]).dictionary_encode(),
            "view": pa.array(["a", None, "c"], pa.string_view()),
            "lists": pa.array([["a"], None, ["b", "c"]], pa.large_list(pa.large_string())),
            "messages": [[{"role": "user", "content": "a"}], [], None],
            "map": pa.array([[("k", "v")], None, []], pa.map_(pa.string(), pa.string())),
            "numbers": [[1.5], [2.0, 3.0], []],
            "long": ["x" * 10_000_000, "y" * 10_000_000, "z"],  # decoded row by row
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    assert list(_parquet(tmp_path / "t.parquet")) == table.to_pylist()


def test_a_folder_with_only_a_test_split_is_not_used_for_training(data):
    with pytest.raises(InputError, match="has no train split"):
        rows_of({"p_cot": 0.5, "n_train": 10, "n_test": 1, "sources": [{"task": "math", "path": str(data / "math500")}]})


def test_long_fields_are_parsed_in_linear_time():
    began = time.process_time()
    assert len(math.split_steps("$" + "a. " * 33_000)) == 1  # unclosed mathematics
    assert len(math.split_steps("a. " * 33_000)) == 33_000
    assert gsm8k.make_problem({"question": "?", "answer": "<<" * 49_000 + "\n#### 1"}, "id").answer == "1"
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("answer", "gold"), [("1,234", "1234"), ("12,345,678", "12345678"), ("2, 3", "2, 3"), ("1,5", "1,5"), ("(1, 2)", "(1, 2)")]
)
def test_only_grouping_commas_are_removed_from_a_gsm8k_answer(answer, gold):
    assert gsm8k.make_problem({"question": "?", "answer": f"Done.\n#### {answer}"}, "id").answer == gold


def test_nan_as_text_is_not_a_gold_answer(tmp_path):
    path = write_jsonl(tmp_path / "n.jsonl", [{"q": "?", "worked": "Done.", "a": "nan"}])
    with pytest.raises(InputError, match="`a` is nan"):
        records.read("refuse", path=path, name="mine", question="q", solution="worked", answer="a")
    with pytest.raises(InputError, match="does not end in"):
        gsm8k.make_problem({"question": "?", "answer": "Done.\n#### NaN"}, "id")


def test_encodings_without_dictionaries_are_read_or_rejected(tmp_path):
    for encoding in ("DELTA_LENGTH_BYTE_ARRAY", "PLAIN", "DELTA_BYTE_ARRAY"):
        path = tmp_path / f"{encoding}.parquet"
        columns = dict.fromkeys(("q", "worked", "a"), encoding)
        pq.write_table(pa.Table.from_pylist(TEXTS), path, use_dictionary=False, column_encoding=columns)
        where = {"path": str(path), "name": "mine", "question": "q", "solution": "worked", "answer": "a"}
        if encoding == "DELTA_BYTE_ARRAY":
            with pytest.raises(InputError, match="does not declare its decoded size"):
                records.read("refuse", **where)
        else:
            assert len(records.read("refuse", **where).train) == len(TEXTS)


def test_data_that_the_system_cannot_read_is_blamed_on_the_data_not_on_the_output_folder(tmp_path):
    (tmp_path / "mine.jsonl").symlink_to("/proc/self/mem")
    raw = {"p_cot": 0.5, "n_train": 2, "n_test": 1, "sources": [{**SOURCE, "path": str(tmp_path / "mine.jsonl")}]}
    with pytest.raises(InputError, match=r"mine\.jsonl cannot be read \(Input/output error\)$"):
        build(parse_config(raw), str(tmp_path / "m"))
