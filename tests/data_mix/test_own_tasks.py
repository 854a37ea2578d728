"""Tasks of the user's own: a function in a file, with its options, errors, nesting and checksum."""

import json

import pytest

from data_mix.errors import InputError
from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build, verify
from tests.data_mix.helpers import rows_of, write_jsonl

SUMS = """
import random

def problems(seed, count, largest=99, words=("plus",)):
    rng = random.Random(seed)
    while True:
        a, b = rng.randint(1, largest), rng.randint(1, largest)
        yield {"prompt": f"What is {a} plus {b}?", "steps": [f"{a} + {b} = {a + b}"], "answer": a + b, "meta": {"a": a}}

def seen(seed, count):
    for i in range(count):
        yield {"prompt": f"What is {i // 2} plus 1?", "steps": [f"{i // 2} + 1"], "answer": i // 2 + 1}

def bits(seed, count):
    for i in range(2**6):
        bits = f"{(i * 37 + seed) % 64:06b}"
        prefix = [str(bits[: n + 1].count("1") % 2) for n in range(6)]
        yield {"prompt": bits + "=", "steps": prefix, "answer": prefix[-1], "meta": {"style": "parity"}}
"""


@pytest.fixture
def sums(tmp_path, monkeypatch):
    (tmp_path / "sums.py").write_text(SUMS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def raw(task="sums.py:problems", **options):
    return {"p_cot": 0.25, "n_train": 40, "n_test": 10, "sources": [{"task": task, **options}]}


def test_an_own_task_has_exact_forms_disjoint_splits_and_test_ids(sums):
    train, test = rows_of(raw())
    assert [row["form"] for row in train].count("long") == 10 and len(train) == 40 and len(test) == 10
    assert len({row["prompt"][-1]["content"] for row in train + test}) == 50
    assert {row["source"] for row in train} == {"sums"} and all(row["problem_id"].startswith("sums/test/") for row in test)
    assert json.loads(test[0]["meta"]).keys() == {"a", "style"}
    [first] = test[0]["completion"]
    assert first["content"].endswith(f"\n#### {test[0]['answer']}")


def test_mixtures_of_an_own_task_are_nested(sums):
    (small, test), (large, same) = rows_of(raw()), rows_of(raw() | {"n_train": 80})
    assert test == same and {row["problem_id"] for row in small} < {row["problem_id"] for row in large}
    more, _ = rows_of(raw() | {"p_cot": 0.5})
    long = [{row["problem_id"] for row in rows if row["form"] == "long"} for rows in (small, more)]
    assert long[0] < long[1]


def test_ids_are_those_of_problems_with_any_seed(sums):
    prompts = {}
    for seed in (0, 1):
        for rows in rows_of(raw(largest=9) | {"seed": seed}):
            for row in rows:
                id = row["problem_id"].rsplit("/", 1)[-1]
                assert prompts.setdefault(id, row["prompt"]) == row["prompt"]


def test_repeated_prompts_are_skipped(sums):
    train, test = rows_of(raw("sums.py:seen", name="twice"))
    assert len({row["prompt"][-1]["content"] for row in train + test}) == 50 and train[0]["source"] == "twice"


def test_a_module_and_a_built_in_style(sums):
    plain = raw("sums:bits", name="bits") | {"prompt_format": "plain"}
    train, _ = rows_of(plain)
    long = next(row for row in train if row["form"] == "long")
    assert json.loads(long["meta"]) == {"long": long["completion"], "style": "parity"}
    assert rows_of(raw("sums.problems"))[0] == rows_of(raw())[0]


def test_a_mixture_knows_the_file_and_verify_refuses_another_one(sums):
    manifest = build(parse_config(raw(largest=50)), "m")
    assert list(manifest["code"]) == ["sums.py:problems"] and len(manifest["code"]["sums.py:problems"]) == 64
    verify("m")
    (sums / "sums.py").write_text("raise SystemExit('was run')")
    with pytest.raises(InputError, match="m: sums.py:problems has changed since the mixture was built; restore it"):
        verify("m")


def test_problems_of_a_test_set_are_removed(sums):
    train, _ = rows_of(raw())
    exam = write_jsonl(
        sums / "exam.jsonl", [{"q": row["prompt"][-1]["content"], "s": ["-"], "a": row["answer"]} for row in train]
    )
    against = [{"task": "records", "name": "exam", "path": exam, "question": "q", "steps": "s", "answer": "a"}]
    with pytest.raises(InputError, match=r"sums: 40 rows needed, the source has 0 \(40 the same text as in exam.jsonl test\)"):
        rows_of(raw() | {"against": [{**against[0], "path": "exam.jsonl"}]})


def test_a_share_may_round_to_no_rows(sums):
    sources = [{"task": "sums.py:problems", "share": share, "name": f"sums{share}"} for share in (0.001, 0.999)]
    for forms in ({"p_cot": 0.25}, {"forms": {"mine": {"template": "{steps}\n#### {answer}", "share": 1.0}}}):
        train, _ = rows_of({"n_train": 40, "n_test": 10, "sources": sources, **forms})
        assert {row["source"] for row in train} == {"sums0.999"} and len(train) == 40


def test_a_task_can_import_its_neighbours(sums, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "neighbour_of_task.py").write_text("WORD = 'plus'")
    (tmp_path / "elsewhere" / "task.py").write_text("import neighbour_of_task\n" + SUMS)
    train, _ = rows_of(raw("elsewhere/task.py:problems"))
    assert len(train) == 40


def test_two_own_sources_do_not_share_problems(sums):
    sources = [{"task": "sums.py:problems", "share": 0.5}, {"task": "sums.py:problems", "share": 0.5, "name": "b"}]
    with pytest.raises(InputError, match=r"b: 20 rows needed, the source has 0 \(20 the same text as in sums train\)"):
        rows_of(raw() | {"sources": sources})
    with pytest.raises(InputError, match="duplicate source 'sums'; give it a `name` of its own"):
        rows_of(raw() | {"sources": [{**sources[0]}, {"task": "sums.py:problems", "share": 0.5, "largest": 9}]})


ITEM = '{"prompt": f"{i}?", "steps": ["-"], "answer": 1}'
BROKEN = {  # the body of `for i in range(count):` on line 4, or the file; words of the error
    "exception": ("yield {}[i]", r"task.py:4: KeyError: 0; fix task.py"),
    "unknown field": ('yield {"prompt": "?", "steps": ["-"], "anwser": 1}', "unknown field 'anwser'; did you mean 'answer'"),
    "missing field": ('yield {"prompt": "?", "steps": ["-"]}', "task.py:4: no `answer`; a problem has the fields"),
    "no steps": ('yield {"prompt": "?", "answer": 1}', "task.py:4: no `steps`"),
    "steps as text": ('yield {"prompt": "?", "steps": "-", "answer": 1}', "task.py:4: `steps` is '-', not a list"),
    "reserved meta": (f"yield {ITEM} | {{'meta': {{'long': 1}}}}", "task.py:4: `meta` has the key 'long'"),
    "unknown style": (f"yield {ITEM} | {{'meta': {{'style': 'box'}}}}", "task.py:4: `meta` has the style 'box'"),
    "not JSON": (f"yield {ITEM} | {{'meta': {{'x': {{1}}}}}}", "task.py:4: `meta` is not JSON"),
    "not a problem": ("yield i", "task.py:4: '0' is int, not a dict or Problem"),
    "too few": (f"yield {ITEM}; return", "n_train \\+ n_test is 50, but it yields only 1 problems"),
    "the same ones again": (f"yield {ITEM.replace('{i}', '{i % 7}')}", "yields only 7 problems with distinct prompts"),
    "not seeded": (f"yield {ITEM.replace('{i}', '{random.random()}')}", "problem 1 differs when it is drawn again"),
    "dependent on count": (f"yield {ITEM.replace('{i}', '{i + count}')}", "problem 1 differs when it is drawn again"),
    "wrong gold": (f"yield {ITEM} | {{'steps': ['#### 2'], 'answer': '#'}}", "not judged correct.*fix task.py"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_in_a_task_is_one_line_with_file_and_line(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    body, words = BROKEN[case]
    (tmp_path / "task.py").write_text(
        f"import random\ndef problems(seed, count):\n    for i in range(count):\n        {body}\n"
    )
    with pytest.raises(InputError, match=words) as error:
        rows_of(raw("task.py:problems"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("task", "options", "words"),
    [
        ("sums.py:problem", {}, "sums.py has no function 'problem'; did you mean 'problems'?"),
        ("sum.py:problems", {}, "sum.py: no such file"),
        ("no.such:problems", {}, "no module 'no.such'"),
        ("sums.py:", {}, "is not a function; write my_file.py:function"),
        (
            "sums.py:problems",
            {"large": 3},
            r"sources\[0\] \(sums.py:problems\): unknown field 'large'; did you mean 'largest'?",
        ),
        ("sums.py:problems", {"largest": "many"}, "sums.py:7: TypeError"),
        ("sums.py:problems", {"words": {1, 2}}, "words is {1, 2}; write it as text"),
        ("sums.py:random", {}, "sums.py has no function 'random'"),
    ],
)
def test_a_task_that_does_not_exist_or_options_it_does_not_have(sums, task, options, words):
    with pytest.raises(InputError, match=words.replace("?", r"\?")):
        rows_of(raw(task, **options))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nothing_like_this", "task.py:1: ModuleNotFoundError"),
        ("x = 1\ndef problems(:", "task.py:2: SyntaxError"),
        ("def problems(count, seed): ...", r"must begin with \(seed, count\)"),
        ("def problems(seed, count, **options): ...", r"its parameter \*\*options hides the options"),
        ("def problems(seed, count, d): ...", "field 'd' is missing"),
        ("def problems(seed, count): ...", "task.py:1: TypeError"),
    ],
)
def test_a_file_or_function_that_cannot_be_used(tmp_path, monkeypatch, text, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "task.py").write_text(text)
    with pytest.raises(InputError, match=words):
        rows_of(raw("task.py:problems"))
