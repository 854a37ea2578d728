"""The tasks: generated train and test are disjoint, and the verifier judges every form correct."""

import json

import numpy as np
import pytest

from data_mix.errors import InputError
from data_mix.tasks import gsm_symbolic, multiplication, parity
from data_mix.tasks.math import boxed_answer, split_steps
from rewards.functions import text_of
from rewards.scorer import Item, score
from tests.data_mix.helpers import rows_of


def verdicts(rows):
    return score([Item(text_of(row["completion"]), row["answer"], json.loads(row["meta"])) for row in rows])


def all_correct(rows):
    return all(verdict.outcome == "correct" for verdict in verdicts(rows))


@pytest.mark.parametrize("p_cot", [0, 1])
def test_gsm8k_and_math_are_judged_correct_in_both_forms(data, p_cot):
    sources = [{"task": task, "path": str(data / task), "share": 0.5} for task in ("gsm8k", "math")]
    train, test = rows_of({"p_cot": p_cot, "n_train": 13_900, "n_test": 200, "sources": sources})
    assert len(train) == 13_900 and all_correct(train) and all_correct(test)
    assert not any("<<" in row["completion"][0]["content"] for row in train)


@pytest.mark.parametrize("source", [{"task": "parity", "d": 9}, {"task": "multiplication", "n": 3, "m": 4}])
@pytest.mark.parametrize("form", ["short", "long", "partial-2"])
def test_synthetic_problems_are_judged_correct_and_their_form_is_recognised(source, form):
    train, _ = rows_of({"forms": {form: 1}, "n_train": 100, "n_test": 5, "sources": [source]})
    found = verdicts(train)
    assert {verdict.outcome for verdict in found} == {"correct"}
    assert {verdict.form for verdict in found} == {form if form in ("short", "long") else "other"}
    assert {verdict.chain for verdict in found} == {form == "long"}


def test_vectorised_parity_equals_parity_generated_one_by_one():
    for d in (2, 7, 50, 60, 61, 130):
        train, test = parity.draw(3, min(2**d - 2, 50), 2, d=d)
        for form in ("short", "long", "partial-3"):
            indices = np.arange(len(train))
            fast = {name: list(map(str, column)) for name, column in train.columns(indices, form, None).items()}
            assert fast == super(parity.BitStrings, train).columns(indices, form, None)
        ids = [problem.id for pool in (train, test) for problem in pool]
        assert len(set(ids)) == len(ids) and all(len(id) == len("parity/") + d for id in ids)


def test_multiplication_steps_are_partial_products_and_running_sums_with_reversed_digits():
    problem = multiplication.make_problem(12, 34)
    assert problem.prompt == "21*43=" and problem.steps == ("840", "0630=8040") and problem.answer == "408"


def test_all_products_of_a_size_can_be_drawn_and_no_more():
    train, test = multiplication.draw(0, 800, 10, n=1, m=2)
    assert len({problem.id for pool in (train, test) for problem in pool}) == 810
    with pytest.raises(InputError, match="only 810 exist"):
        multiplication.draw(0, 801, 10, n=1, m=2)
    with pytest.raises(InputError, match="m is 1; it must be an integer from 2 to 9"):
        multiplication.draw(0, 1, 1, n=2, m=1)


def test_gsm_symbolic_uses_only_the_given_templates_and_train_and_test_are_disjoint():
    train, test = gsm_symbolic.draw(5, 200, 50, templates=[10, 43])
    problems = [problem for pool in (train, test) for problem in pool]
    assert {p.id.split("/")[1] for p in problems} == {"10", "43"}
    assert len({p.prompt for p in problems}) == 250
    assert not any("####" in step for p in problems for step in p.steps)


def test_templates_must_be_a_list_of_numbers():
    for templates in (5, "12", ["1"]):
        with pytest.raises(InputError, match="templates is|no template"):
            gsm_symbolic.draw(0, 1, 1, templates=templates)


def test_an_unknown_template_is_named():
    with pytest.raises(InputError, match="no template 100"):
        gsm_symbolic.draw(0, 1, 1, templates=[100])


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so $\boxed{\frac{1}{2}}$", r"\frac{1}{2}"),
        (r"\boxed{1}, then \fbox{2}", "2"),
        (r"thus $\boxed 2$.", "2"),
        (r"thus $\boxed 2.5$.", "2.5"),
        ("\\boxed{90\n  units}", "90 units"),
        (r"\boxed{never closed", None),
        ("none", None),
    ],
)
def test_the_content_of_the_last_box_is_the_answer(text, answer):
    assert boxed_answer(text) == answer


def test_steps_are_sentences_and_mathematics_is_never_split():
    assert split_steps("First, $x = 1. 5$ holds. Then $y = 2$. So \\[a. b\\] is $\\boxed{3}$.") == (
        "First, $x = 1. 5$ holds.",
        "Then $y = 2$.",
        "So \\[a. b\\] is $\\boxed{3}$.",
    )
