"""Reward functions of the user's own and parameters: what is accepted, what is refused in one line; the README's example."""

import asyncio
import os
import re
import subprocess
import sys

import pytest

from rewards import __main__ as commands
from rewards import specs
from rewards.functions import dump_meta, make_reward_functions
from rewards.own import RewardError
from rewards.trial import Case, encode_characters, pay
from tests.conftest import ROOT

MINE = """
from dataclasses import dataclass

@dataclass
class Price:
    per_token: float

def price(completion_ids, per_token=0.1, **kwargs):
    return [-Price(per_token).per_token * len(ids) for ids in completion_ids]

async def later(completions, meta, **kwargs):
    return [len(text) if row["style"] == "parity" else None for text, row in zip(completions, meta, strict=True)]

def answer(completions, answer):  # without **kwargs
    return [text == gold for text, gold in zip(completions, answer, strict=True)]

def needs(completions, solution, **kwargs): ...

def raises(completions, **kwargs):
    return [1 / (text != "0") for text in completions]

async def raises_later(completions, **kwargs):
    return raises(completions)

def nan(completions, **kwargs):
    return [0.0, float("nan"), None, 0.0][: len(completions)]

def one(completions, **kwargs):
    return [0.0]

def number(completions, **kwargs):
    return 0.0
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The current folder, with `mine.py` in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("mine", "package"):  # of another test's folder
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def cases(*completions, problems=None):
    """Completions of parity problems whose answer is 1; a final `…` stands for truncation."""
    made = []
    for i, text in enumerate(completions):
        row = {"prompt": "0", "answer": "1", "source": "parity", "meta": {"style": "parity", "long": "1001"}}
        row["problem_id"] = problems[i] if problems else f"p{i}"
        body = text.removesuffix("…")
        made.append(Case("", row, body, [*encode_characters(body), *([0] if text == body else [])]))
    return made


def paid(entry, *completions, problems=None):
    [values] = pay([entry], cases(*completions, problems=problems), 0, 10)
    return values


def test_own_functions_get_what_they_name_and_their_parameters(mine):
    assert paid("mine.py:price", "1001", "1") == [-0.5, -0.2]
    assert paid({"reward": "mine.py:price", "per_token": 1}, "1001…") == [-4]
    assert paid("mine.py:later", "1001", "") == [4, 0]
    assert paid("mine.py:answer", "1", "0") == [1, 0]
    assert paid(f"{mine}/mine.py:price", "1") == [-0.2]
    (mine / "package.py").write_text("from mine import answer, later")
    assert paid("package:later", "1") == [1]


def test_a_function_written_for_trl_works_unchanged():
    entry = "trl.rewards:think_format_reward"
    [case] = cases("<think>0</think>1")
    chat = Case("", {**case.row, "prompt": [{"role": "user", "content": "0"}]}, case.text, case.ids)
    assert pay([entry], [chat], 0, 10) == [[1.0]]


def test_names_in_logs_are_unique(mine):
    entries = ["answer", "mine.py:answer", "mine.py:price", {"reward": "mine.py:price", "per_token": 0.5, "weight": 2}]
    read = specs.parse(entries)
    assert [spec.name for spec in read] == ["answer", "mine.py_answer", "mine.py_price", "mine.py_price_per_token_0.5"]
    assert [spec.weight for spec in read] == [1, 1, 1, 2]
    assert [f.__name__ for f in make_reward_functions(entries, [0], 8)] == [spec.name for spec in read]
    assert [spec.weight for spec in specs.parse(["answer", "mine.py:later"], [0.5, 3])] == [0.5, 3]


REFUSED = [
    (["answr"], None, "'answr' is unknown; did you mean 'answer'?"),
    ([{"weight": 2}], None, "{'weight': 2} is not a reward; give `answer`"),
    ([3], None, "3 is not a reward"),
    ("answer", None, "rewards is 'answer'; give a list"),
    ([], None, "rewards is empty; name at least one"),
    (["answer", {"reward": "answer", "weight": 2}], None, "answer is listed twice"),
    ([{"reward": "answer", "weight": "x"}], None, "the weight of answer is 'x'; give a finite number"),
    ([{"reward": "answer", "weight": float("inf")}], None, "the weight of answer is inf; give a finite number"),
    (["answer"], [float("nan")], "the weight of answer is nan; give a finite number"),
    ([{"reward": "answer", "weight": 2}], [1.0], "rewards has a weight, and reward_weights is given, too"),
    (["answer", "chain"], [1.0], "reward_weights has 1 numbers for 2 rewards; give one for each"),
    ([{"reward": "cosine", "max_lenght": 2}], None, "cosine has no parameter 'max_lenght'; did you mean 'max_length'?"),
    ([{"reward": "answer", "style": 2}], None, "answer has no parameter 'style'; it has none"),
    (["length_cost"], None, "length_cost needs the parameter per_token; write {reward: length_cost, per_token: ...}"),
    ([{"reward": "length_cost", "per_token": -1}], None, "length_cost: per_token is -1; it is a price"),
    ([{"reward": "length_target", "target": 0}], None, "length_target: target is 0; it must be at least 1"),
    ([{"reward": "overlong", "cache": 1.5}], None, "overlong: cache is 1.5; give a whole number"),
    ([{"reward": "overlong", "cache": 9, "max_length": 4}], None, "cache is 9, more than max_length, 4"),
    ([{"reward": "repetition", "max_penalty": 1}], None, "repetition: max_penalty is 1; it must be at most 0"),
    ([{"reward": "cosine", "min_value_wrong": "low"}], None, "min_value_wrong is 'low'; give a finite number"),
    (["no.py:price"], None, "no.py: no such file; the path is relative to the current folder"),
    (["no_package.x:price"], None, "no_package.x cannot be imported: ModuleNotFoundError"),
    (["mine.py:prise"], None, "mine.py has no function 'prise'; it has price, later, answer"),
    (["mine.py:needs"], None, "mine.py:needs needs the parameter solution (a reward function is passed prompts,"),
    (
        [{"reward": "mine.py:price", "per_tokn": 1}],
        None,
        "no parameter 'per_tokn'; did you mean 'per_token'?; it has per_token",
    ),
    (["broken.py:price"], None, "broken.py cannot be imported: SyntaxError"),
    (["raising.py:price"], None, "raising.py cannot be imported: ZeroDivisionError: division by zero"),
]


@pytest.mark.parametrize(("entries", "weights", "message"), REFUSED, ids=[message for *_, message in REFUSED])
def test_wrong_entries_are_refused_in_one_line(mine, entries, weights, message):
    (mine / "broken.py").write_text("def price(:\n")
    (mine / "raising.py").write_text("x = 1\ny = x / 0\n")
    with pytest.raises(ValueError) as caught:
        specs.parse(entries, weights)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("raises", r"reward raises raised ZeroDivisionError: division by zero \(.*mine.py:\d+\), on problem p2$"),
        ("raises_later", r"reward raises_later raised ZeroDivisionError: .*, on problem p2$"),
        ("nan", "reward nan returned nan for problem p1; return a finite number, or None"),
        ("one", "reward one returned 1 values for 4 completions; return one for each"),
        ("number", "reward number returned 0.0; it must return a list with one value per completion"),
    ],
)
def test_a_failing_function_is_named_with_its_problem(mine, function, message):
    with pytest.raises(RewardError, match=message):
        paid(f"mine.py:{function}", "1", "1001", "0", "1")


def test_async_functions_run_concurrently_as_in_trl(mine):
    functions = make_reward_functions(["mine.py:later", "mine.py:price"], [0], 8)
    assert [asyncio.iscoroutinefunction(function) for function in functions] == [True, False]
    logged = {}
    [case] = cases("1001")
    row = {name: [case.row[name]] for name in ("answer", "problem_id", "source")} | {"meta": [dump_meta(case.row)]}
    logs = {"log_metric": logged.__setitem__, "log_extra": lambda *_: None, "trainer_state": None}
    coroutine = functions[0](prompts=["0"], completions=["1001"], completion_ids=[case.ids], **row, **logs)
    assert asyncio.run(coroutine) == [4] and logged["length/mean"] == 4  # the first reward logs, whichever it is


def test_length_rewards_by_hand():
    texts = ["1", "1001", "1001…", "0"]
    assert paid({"reward": "length_cost", "per_token": 0.5}, *texts) == [-0.5, -2, -2, -0.5]
    assert paid({"reward": "length_target", "target": 2}, *texts, "") == [-0.5, -1, -1, -0.5, -1]
    assert paid({"reward": "overlong", "max_length": 4, "cache": 2}, *texts) == [0, -1, -1, 0]
    assert paid({"reward": "repetition", "ngram": 1, "max_penalty": -2}, "00") == [pytest.approx(-2 / 3)]
    cosine = {"reward": "cosine", "max_length": 4, "min_value_correct": 0.25, "max_value_wrong": 0.0}
    assert paid(cosine, "1001…", "1001", "0011…")[1:] == [0.25, 0.0]


def test_brevity_ranks_correct_completions_of_the_same_problem_and_never_pays_a_wrong_one():
    group = ["1", "1001", "101", "0", "", "10…"]  # the first three are correct
    assert paid("brevity", *group, problems=["a"] * 6) == pytest.approx([0.5, -0.5, -1 / 6, 0, 0, 0])
    assert paid("brevity", "1", "1001", "1", "0", problems=["a", "a", "b", "b"]) == [0.5, -0.5, 0, 0]
    assert paid("brevity", "1001", "1001", problems=["a", "a"]) == [0, 0]


def test_the_example_of_the_readme_prints_what_it_says(tmp_path):
    text = (ROOT / "rewards/README.md").read_text().split("## Your own reward")[1]
    blocks = dict(re.findall(r"```(python|yaml|console)\n(.*?)```", text, re.DOTALL))
    (tmp_path / "my_rewards.py").write_text(blocks["python"])
    (tmp_path / "my_grpo.yaml").write_text(blocks["yaml"])
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    for step in blocks["console"].removeprefix("$ python ").split("$ python "):
        line, _, output = step.partition("\n")
        environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [sys.executable, *line.split()], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout == output


def test_try_reports_wrong_input_in_one_line(mine, capsys):
    configs = {
        "nothing.yaml": None,
        "list.yaml": "[1]",
        "broken.yaml": "{",
        "without.yaml": "rewards: [answer]",
        "no_mixture.yaml": "mixture: no\nrewards: [answer]",
        "unknown.yaml": "mixture: no\nrewards: [answr]",
        "base.yaml": "base: nothing.yaml",
        "cycle.yaml": "base: cycle.yaml",
        "number.yaml": "base: 3",
    }
    for name, text in configs.items():
        if text:
            (mine / name).write_text(text)
        assert commands.main(["try", name]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1
