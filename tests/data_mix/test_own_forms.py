"""Forms of the user's own: from a column, a template or a function; and how they are recognised in a completion."""

import json

import numpy as np
import pytest
import yaml

from data_mix.errors import InputError
from data_mix.mixture_config import load_config, parse_config
from data_mix.mixture_folder import build, verify
from data_mix.recognition import threshold
from data_mix.show import diff, show
from rewards.scorer import find_form
from tests.data_mix.helpers import rows_of, write_jsonl

FORMS = {
    "short": {"column": "solution", "share": 0.5},
    "long": {"template": "<think>{trace}</think>\n#### {answer}", "share": 0.3},
    "answer": {"share": 0.2},
}
FUNCTIONS = """
def terse(problem):
    return f"{problem.record['a']}+{problem.record['b']}\\n#### {problem.answer}"

def crash(problem):
    return problem.record["none"]

def number(problem):
    return 4

calls = []
def changing(problem):
    calls.append(problem)
    return f"Call {len(calls)}\\n#### {problem.answer}"
"""


def records(lacking=()):
    made = []
    for i in range(120):
        a, b = i + 3, 2 * i + 5
        trace = " ".join(f"Is it {n}? No, too small." for n in range(i % 7 + 4))
        record = {
            "question": f"Box {i} has {a} red and {b} blue balls. How many?",
            "a": a,
            "b": b,
            "lines": ["-", f"#### {a + b}"],
        }
        made.append(record | {"solution": f"{a} + {b} = {a + b}\n#### {a + b}", "trace": None if i in lacking else trace})
    return made


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "mine.jsonl", records())
    (tmp_path / "my_forms.py").write_text(FUNCTIONS)
    return tmp_path


def raw(forms=FORMS, **fields):
    source = {"task": "records", "name": "mine", "path": "mine.jsonl", "solution": "solution"}
    return {"n_train": 80, "n_test": 20, "ngram": None, "forms": forms, "sources": [source], **fields}


def text(row):
    return row["completion"][0]["content"]


def test_own_forms_have_exact_shares_and_their_own_texts(folder):
    train, test = rows_of(raw())
    by_form = {form: [row for row in train if row["form"] == form] for form in FORMS}
    assert {form: len(rows) for form, rows in by_form.items()} == {"short": 40, "long": 24, "answer": 16}
    assert all(text(row).startswith("<think>Is it 0?") for row in by_form["long"])
    assert all(text(row) == f"#### {row['answer']}" for row in by_form["answer"])
    assert all(" = " in text(row) and "<think>" not in text(row) for row in by_form["short"])
    assert {row["form"] for row in test} == {"long"}


def test_problems_and_forms_are_nested_and_paired_as_with_the_built_in_forms(folder):
    two = {form: {key: value for key, value in FORMS[form].items() if key != "share"} for form in ("short", "long")}
    built_in, _ = rows_of({**raw(), "forms": None, "p_cot": 0.25})
    few, _ = rows_of(raw(two, p_cot=0.25))
    many, _ = rows_of(raw(two, p_cot=0.5))
    assert [(row["problem_id"], row["form"]) for row in few] == [(row["problem_id"], row["form"]) for row in built_in]
    long = [{row["problem_id"] for row in rows if row["form"] == "long"} for rows in (few, many)]
    assert len(long[0]) == 20 and long[0] < long[1]


def test_texts_come_from_functions_lists_and_steps(folder):
    forms = {
        "terse": {"function": "my_forms.py:terse", "share": 0.4},
        "lines": {"column": "lines", "share": 0.3},
        "long": {"template": "{steps}\nSo \\boxed{{{answer}}}", "share": 0.3},
    }
    rows = {row["form"]: row for row in rows_of(raw(forms))[0]}
    meta = json.loads(rows["terse"]["meta"])["forms"]
    assert text(rows["terse"]).endswith(f"\n#### {rows['terse']['answer']}") and "+" in text(rows["terse"])
    assert text(rows["lines"]).startswith("-\n#### ")
    assert text(rows["long"]).endswith(f"So \\boxed{{{rows['long']['answer']}}}")
    assert meta["by_length"] == ["lines", "terse", "long"] and len(meta["up_to"]) == 2


def test_an_own_task_gives_its_meta_to_the_forms(folder):
    (folder / "sums.py").write_text(
        "def problems(seed, count):\n    for i in range(count):\n"
        "        yield {'prompt': f'{i} + 1?', 'steps': [f'{i} + 1'], 'answer': i + 1, 'meta': {'hint': f'after {i}'}}\n"
    )
    forms = {"short": {"share": 0.5}, "long": {"template": "{hint}: {steps}\n#### {answer}", "share": 0.5}}
    _, test = rows_of(raw(forms, sources=[{"task": "sums.py:problems"}]))
    assert text(test[0]) == "after 0: 0 + 1\n#### 1"


def test_the_rule_is_in_the_rows_the_manifest_and_show(folder):
    manifest = build(parse_config(raw()), "m")
    rule = manifest["sources"]["mine"]["recognition"]
    assert rule["by_length"] == ["answer", "short", "long"] and set(rule["error"].values()) == {0.0} and rule["problems"] == 20
    for row in sum(rows_of(raw()), []):
        assert find_form(text(row), json.loads(row["meta"])) == row["form"]
    assert "wrong for held-out gold completions: short 0.0%, long 0.0%, answer 0.0% (n = 20)" in show("m")
    verify("m")
    assert manifest["config"]["forms"] == {"short": 0.5, "long": 0.3, "answer": 0.2}


def test_a_marker_decides_before_length(folder):
    forms = {**FORMS, "long": {**FORMS["long"], "marker": "<think>"}}
    [row, *_], _ = rows_of(raw(forms))
    meta = json.loads(row["meta"])
    assert find_form("<think>", meta) == "long" and find_form("word " * 1000, meta) == "short"
    assert find_form("#### 1", meta) == "answer"
    with pytest.raises(InputError, match="forms.long.marker is '<thnik>', which no text of that form contains"):
        rows_of(raw({**FORMS, "long": {**FORMS["long"], "marker": "<thnik>"}}))


def test_the_error_of_forms_that_length_cannot_tell_apart_is_measured(folder):
    forms = {
        "short": {"column": "solution", "share": 0.5},
        "other-one": {"template": "{b} + {a}: {a}{b}\n#### {answer}", "share": 0.5},
    }
    report = build(parse_config(raw(forms)), "m")["sources"]["mine"]["recognition"]
    assert 0.2 < sum(report["error"].values()) <= 1


def test_the_threshold_separates_best_and_lies_in_the_middle():
    assert threshold(np.array([1, 2, 3]), np.array([11, 12])) == 6
    assert threshold(np.array([1, 2, 30]), np.array([11, 12, 40])) == 6
    assert threshold(np.array([5, 5]), np.array([5, 5])) == 5


def test_problems_that_lack_a_form_are_an_error_or_dropped_and_counted(folder):
    write_jsonl(folder / "mine.jsonl", records(lacking=(3, 7)))
    with pytest.raises(InputError, match=r"2 of 120 problems lack a form: mine/train/3 \(long\); mine/train/7 \(long\); fill"):
        rows_of(raw())
    report = build(parse_config(raw(missing_form="drop")), "m")["sources"]["mine"]
    assert report["missing_form"] == {"short": 0, "long": 2, "answer": 0} and report["problems"] == 98
    assert "2 lack a form" in show("m")
    with pytest.raises(InputError, match=r"99 rows needed, the source has 98 \(2 lacking a form\)"):
        rows_of(raw(missing_form="drop", n_train=99))


def test_functions_are_part_of_the_manifest(folder):
    forms = {"short": {"function": "my_forms.py:terse", "share": 1.0}}
    assert list(build(parse_config(raw(forms)), "m")["code"]) == ["my_forms.py:terse"]
    (folder / "my_forms.py").write_text(FUNCTIONS + "\n")
    build(parse_config(raw(forms)), "again")
    assert "my_forms.py:terse: another version" in diff("m", "again")
    with pytest.raises(InputError, match="my_forms.py:terse has changed since the mixture was built"):
        verify("m")


def test_p_cot_can_be_overridden(folder):
    (folder / "m.yaml").write_text(yaml.safe_dump(raw({form: FORMS[form] | {"share": 0.5} for form in ("short", "long")})))
    config = load_config("m.yaml", ["p_cot=0.1"])
    assert config.forms == {"long": 0.1, "short": 0.9} and config.own_forms["short"].column == "solution"


def test_lengths_in_tokens_are_those_of_the_own_forms(folder):
    from recipes.training.models import character_tokenizer

    character_tokenizer("".join(map(chr, range(32, 127))) + "\n").save_pretrained(folder / "tokenizer")
    forms = {"short": {"column": "solution", "share": 0.5}, "long": {**FORMS["long"], "share": 0.5}}
    plain = raw(forms, tokenizer="tokenizer", prompt_format="plain")
    train, _ = rows_of(plain | {"unit": "tokens", "n_train": 60})
    tokens = {form: sum(len(row["completion"]) for row in train if row["form"] == form) for form in forms}
    assert tokens["long"] / sum(tokens.values()) == pytest.approx(0.5, abs=0.005)
    few, _ = rows_of(plain | {"max_tokens": 200, "over_limit": "drop", "n_train": 20})
    assert all(len(row["prompt"]) + row["completion"].count("No") * 22 < 200 for row in few if row["form"] == "long")
    with pytest.raises(InputError, match="98 rows needed|over the limit"):
        rows_of(plain | {"max_tokens": 200, "over_limit": "drop", "n_train": 98})


def test_own_forms_are_for_answers_that_the_text_marks(folder):
    (folder / "bits.py").write_text(
        "def problems(seed, count):\n    for i in range(count):\n"
        "        yield {'prompt': f'{i:09b}=', 'steps': ['0'], 'answer': '0', 'meta': {'style': 'parity'}}\n"
    )
    with pytest.raises(InputError, match="own forms need an answer style of gsm8k or boxed; bits has 'parity'"):
        rows_of(raw({"short": {"share": 1.0}}, sources=[{"task": "bits.py:problems"}]))


WRONG = {
    "a column that does not exist": ({"column": "solutoin"}, "forms.x.column: no column 'solutoin'; did you mean 'solution'?"),
    "a name that does not exist": ({"template": "{trce}"}, "forms.x.template: no column 'trce'; did you mean 'trace'?"),
    "a brace too few": ({"template": "{answer"}, "forms.x.template: expected '}'"),
    "an attribute": ({"template": "{answer.real}"}, "forms.x.template: {answer.real} is not the name of a column"),
    "a constant": ({"template": "42"}, "forms.x.template is '42'; it must contain"),
    "two texts": ({"template": "{steps}", "column": "a"}, "forms.x has column and template; give one of them"),
    "an unknown field": ({"colum": "a"}, "forms.x: unknown field 'colum'; did you mean 'column'?"),
    "a field that is not text": ({"column": 3}, "forms.x.column is 3; it must be a text"),
    "no answer": ({"column": "trace"}, "gold completions are not judged correct"),
    "another answer": ({"template": "#### {a}"}, "x, wrong: extracted '3', gold '8'"),
    "a missing function": ({"function": "my_forms.py:ters"}, "my_forms.py has no function 'ters'; did you mean 'terse'?"),
    "an exception": ({"function": "my_forms.py:crash"}, "my_forms.py:6: KeyError: 'none' (for problem mine/train/0)"),
    "not the same text": ({"function": "my_forms.py:changing"}, "my_forms.py:changing returns another text for problem mine/"),
    "not a text": ({"function": "my_forms.py:number"}, "my_forms.py:number returned int for problem mine/train/0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_form_is_one_line(folder, case):
    form, words = WRONG[case]
    with pytest.raises(InputError) as error:
        rows_of(raw({"short": {"column": "solution", "share": 0.5}, "x": {**form, "share": 0.5}}))
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"forms": {"short": {"column": "solution", "share": 0.5}, "long": 0.5}}, "write long: {column: solution, share: 0.5}"),
        ({"forms": {"short": {"column": "solution", "share": 0.5}, "long": {}}}, "forms.long has no share; give every form"),
        ({"forms": {"short": {}, "long": {}}}, "forms.short has no share"),
        ({"forms": {"short": {}, "trace": {}}, "p_cot": 0.5}, "forms.short has no share"),
        ({"p_cot": 0.5}, "give either p_cot"),
        ({"forms": {"wrong": {"share": 1.0}}}, "'wrong' cannot be the name of a form"),
        ({"forms": {"short": {"share": 0.5}, "long": {"share": 0.6}}}, "shares of forms sum to 1.1"),
        ({"forms": {f: {"share": 0.5, "marker": "x"} for f in "ab"}}, "forms.b.marker is also that of a"),
        ({"sources": [{"task": "parity", "d": 8}]}, "forms: parity has forms of its own"),
        ({"forms": {"short": 1.0}, "missing_form": "drop"}, "missing_form is set, but"),
        ({"missing_form": "ignore"}, "missing_form is 'ignore'; it must be one of refuse, drop"),
    ],
)
def test_what_is_wrong_with_the_forms_together_is_one_line(folder, change, words):
    with pytest.raises(InputError) as error:
        parse_config(raw() | change)
    assert words in str(error.value)
