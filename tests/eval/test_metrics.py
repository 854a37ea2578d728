from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics import bootstrap_ci95, compute_metrics, majority_correct, pass_at_k

INFO = {"model": "m", "temperature": 1.0, "seed": 0}
KEYS = {
    "n_problems",
    "n_samples",
    "temperature",
    "seed",
    "model",
    "accuracy",
    "accuracy_strict",
    "pass_at_k",
    "maj_at_k",
    "length",
    "p_long",
    "accuracy_long",
    "accuracy_short",
    "truncated",
    "outcomes",
}


def row(problem, outcome, form="long", n=3, extracted="1", truncated=False):
    return {
        "problem_id": problem,
        "outcome": outcome,
        "strict_outcome": outcome,
        "form": form,
        "n_tokens": n,
        "extracted": extracted,
        "truncated": truncated,
    }


@given(st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(case):
    n, correct, k = case
    subsets = list(combinations([True] * correct + [False] * (n - correct), k))
    assert pass_at_k(n, correct, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_every_key_is_there_and_what_does_not_apply_is_null():
    metrics = compute_metrics([row("a", "correct", "short", 1), row("b", "wrong", "short", 1)], INFO)
    assert set(metrics) == KEYS
    assert metrics["maj_at_k"] is None and metrics["accuracy_long"] is None and metrics["p_long"] == 0
    assert metrics["accuracy"]["value"] == 0.5 and metrics["accuracy_short"] == 0.5
    assert metrics["outcomes"] == {"correct": 1, "wrong": 1, "unparseable": 0, "timeout": 0, "error": 0}


def test_samples_of_a_problem_are_averaged_before_problems_are():
    rows = [row("a", "correct")] * 4 + [row("b", "wrong", n=9)] * 3 + [row("b", "correct", n=1)]
    metrics = compute_metrics(rows, INFO)
    assert metrics["n_problems"] == 2 and metrics["n_samples"] == 4
    assert metrics["accuracy"]["value"] == pytest.approx((1 + 0.25) / 2)
    assert metrics["pass_at_k"] == {"1": pytest.approx(0.625), "2": pytest.approx((1 + 0.5) / 2), "4": 1.0}
    assert metrics["length"]["wrong_mean"] == 9


def test_the_majority_decides_and_no_answer_never_wins():
    assert majority_correct([row("a", "correct"), row("a", "correct"), row("a", "wrong", extracted="2")])
    none = [row("a", "unparseable", extracted=None)] * 3
    assert majority_correct([*none, row("a", "correct")])
    assert not majority_correct(none)


def test_the_interval_is_that_of_the_mean():
    values = np.array([0.0, 1.0] * 200)
    low, high = bootstrap_ci95(values)
    assert low == pytest.approx(0.5 - 1.96 * 0.5 / 20, abs=0.01) and high == pytest.approx(0.5 + 1.96 * 0.5 / 20, abs=0.01)
    assert bootstrap_ci95(np.ones(10)) == [1.0, 1.0]
