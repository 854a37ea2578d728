"""Metrics against enumeration over subsets, scipy, and hand-computed values."""

import json
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eval.scoring.metrics import accuracy_by_budget, bootstrap_ci95, compute_metrics, maj_at_k, mcnemar_p, pass_at_k

INFO = {"model": "m", "temperature": 1.0, "seed": 0}
KEYS = """n_problems n_samples temperature seed model accuracy accuracy_strict calibration length_by accuracy_by_budget
pass_at_k maj_at_k length p_long accuracy_long accuracy_short truncated outcomes by_form by_source by_meta"""


def row(problem, outcome, form="long", n=3, extracted="1", truncated=False, source="s", meta="{}"):
    return {
        "problem_id": problem,
        "source": source,
        "meta": meta,
        "outcome": outcome,
        "strict_outcome": outcome,
        "form": form,
        "n_tokens": n,
        "extracted": extracted,
        "truncated": truncated,
    }


@settings(max_examples=1000)
@given(st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(case):
    n, correct, k = case
    subsets = list(combinations([True] * correct + [False] * (n - correct), k))
    assert pass_at_k(n, correct, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_every_key_is_present_and_inapplicable_metrics_are_null():
    metrics = compute_metrics([row("a", "correct", "short", 1), row("b", "wrong", "short", 1)], INFO)
    assert set(metrics) == set(KEYS.split())
    assert metrics["maj_at_k"] is None and metrics["accuracy_long"] is None and metrics["p_long"] == 0
    assert metrics["accuracy"]["value"] == 0.5 and metrics["accuracy_short"] == 0.5
    assert metrics["outcomes"] == {"correct": 1, "wrong": 1, "unparseable": 0, "timeout": 0, "error": 0}


def test_samples_are_averaged_within_problems_first():
    rows = [row("a", "correct")] * 4 + [row("b", "wrong", n=9)] * 3 + [row("b", "correct", n=1)]
    metrics = compute_metrics(rows, INFO)
    assert metrics["n_problems"] == 2 and metrics["n_samples"] == 4
    assert metrics["accuracy"]["value"] == pytest.approx((1 + 0.25) / 2)
    assert metrics["pass_at_k"] == {str(k): pytest.approx((1 + k / 4) / 2) for k in (1, 2, 3, 4)}
    assert metrics["length"]["wrong_mean"] == 9


def votes(*answers):
    """Samples of one problem; "1" and "1.0" are the correct answer, None means no answer."""
    outcomes = {"1": "correct", "1.0": "correct", None: "unparseable"}
    return [row("a", outcomes.get(answer, "wrong"), extracted=answer) for answer in answers]


@settings(max_examples=1000)
@given(
    st.lists(st.sampled_from(["1", "1.0", "2", "3", None]), min_size=1, max_size=7).flatmap(
        lambda a: st.tuples(st.just(a), st.integers(1, len(a)))
    )
)
def test_maj_at_k_is_the_mean_over_all_subsets(case):
    answers, k = case
    wins = []
    for subset in combinations(answers, k):
        counts = Counter({"1.0": "1"}.get(answer, answer) for answer in subset if answer is not None)
        best = [answer for answer, count in counts.items() if count == max(counts.values())]
        wins.append(best.count("1") / len(best) if best else 0)
    assert maj_at_k(votes(*answers))[k - 1] == pytest.approx(sum(wins) / len(wins))


@settings(max_examples=1000)
@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemar_is_the_binomial_test_of_the_flips(only_a, only_b):
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar_p(only_a, only_b) == pytest.approx(expected, rel=1e-9)


def test_a_completion_over_the_budget_counts_as_wrong():
    rows = [row("a", "correct", n=1), row("b", "correct", n=3), row("c", "wrong", n=1), row("d", "correct", n=7)]
    assert accuracy_by_budget(rows) == {"1": 0.25, "2": 0.25, "4": 0.5, "8": 0.75}


def test_the_interval_matches_the_normal_approximation():
    values = np.array([0.0, 1.0] * 200)
    low, high = bootstrap_ci95(values)
    assert low == pytest.approx(0.5 - 1.96 * 0.5 / 20, abs=0.01) and high == pytest.approx(0.5 + 1.96 * 0.5 / 20, abs=0.01)
    assert bootstrap_ci95(np.ones(10)) == [1.0, 1.0]


def test_intervals_match_scipy_s_bootstrap():
    rng = np.random.default_rng(0)
    for case in range(1000):
        n, samples = int(rng.integers(5, 40)), int(rng.integers(1, 5))
        shares = rng.binomial(samples, rng.uniform(0.1, 0.9), n) / samples
        if shares.std() == 0:  # scipy returns no interval; ours is the value itself
            assert bootstrap_ci95(shares) == [shares[0]] * 2
            continue
        expected = stats.bootstrap((shares,), np.mean, n_resamples=2000, method="percentile", rng=case).confidence_interval
        # both are random: allow part of a standard error, plus the spacing of possible means
        tolerance = 0.4 * shares.std() / np.sqrt(n) + 1 / (n * samples)
        assert bootstrap_ci95(shares, seed=case) == pytest.approx(list(expected), abs=tolerance)


def test_lengths_are_summarised_by_outcome_and_form():
    rows = [row("a", "correct", "long", n) for n in (10, 20, 30)] + [row("b", "wrong", "short", 1)]
    by = compute_metrics(rows, INFO)["length_by"]
    assert by["form"]["long"]["p50"] == by["outcome"]["correct"]["mean"] == 20 and by["form"]["short"]["p99"] == 1


def test_every_form_that_occurs_has_a_share_accuracy_and_length():
    rows = [row("a", "correct", "think", n) for n in (10, 20)] + [
        row("b", "wrong", "partial-2", 4),
        row("c", "correct", "short", 1),
    ]
    by = compute_metrics(rows, INFO)["by_form"]
    assert list(by) == ["partial-2", "short", "think"]
    assert by["think"] | {"length": by["think"]["length"]["mean"]} == {"share": 0.5, "accuracy": 1.0, "length": 15.0}
    assert by["partial-2"]["accuracy"] == 0


def test_each_source_has_the_metrics_that_its_rows_have_alone():
    rows = [row(f"a/{i}", "correct", n=i, source="a") for i in range(5)] + [
        row(f"b/{i}", "wrong", source="b") for i in range(3)
    ]
    both = compute_metrics(rows, INFO)
    for name, own in (("a", rows[:5]), ("b", rows[5:])):
        alone = compute_metrics(own, INFO)
        assert both["by_source"][name] == {key: value for key, value in alone.items() if key not in ("by_source", "by_meta")}
    assert list(both["by_source"]) == ["a", "b"] and both["by_meta"] == {}


def test_calibration_is_against_the_share_of_long_rows_of_each_problem_s_source():
    rows = [row("a/1", "correct", "long", source="a"), row("b/1", "correct", "short", source="b")]
    shares = {"asked": {"p_cot": 0.25}, "p_cot_by_source": {"a": 0.75, "b": 0.125}}
    metrics = compute_metrics(rows, INFO | shares)
    found = {name: one["calibration"]["difference"]["value"] for name, one in metrics["by_source"].items()}
    assert metrics["calibration"]["difference"]["value"] == (0.25 - 0.125) / 2 and found == {"a": 0.25, "b": -0.125}
    assert metrics["calibration"]["p_cot"] == (0.75 + 0.125) / 2


def by_meta(*metas):
    rows = [row(str(i), "correct" if i % 2 else "wrong", meta=json.dumps(meta)) for i, meta in enumerate(metas)]
    return {
        field: {value: one["n_problems"] for value, one in values.items()}
        for field, values in compute_metrics(rows, INFO)["by_meta"].items()
    }


def test_fields_of_meta_are_in_the_order_of_their_values():
    assert by_meta(*({"steps": n, "level": f"Level {n}"} for n in (10, 2, 3, 2))) == {
        "level": {"Level 2": 2, "Level 3": 1, "Level 10": 1},
        "steps": {"2": 2, "3": 1, "10": 1},
    }
    assert list(by_meta(*({"level": f"Level {n}"} for n in (10, 9, 2)))["level"]) == ["Level 2", "Level 9", "Level 10"]


def test_many_numbers_are_split_at_the_quartiles_and_many_texts_left_out():
    metas = [{"steps": n, "name": f"problem {n}", "style": "gsm8k", "long": str(n), "list": [n], "same": 1} for n in range(40)]
    assert by_meta(*metas[:11], *[{"steps": 99}] * 80)["steps"] == {"0 to 10": 11, "99": 80}  # few but the largest
    assert by_meta(*metas) == {"steps": {"0 to 9": 10, "10 to 19": 10, "20 to 29": 10, "30 to 39": 10}}


def test_problems_without_a_field_are_in_none_of_its_groups():
    assert by_meta({"level": 1}, {"level": 2}, {}) == {"level": {"1": 1, "2": 1}}
