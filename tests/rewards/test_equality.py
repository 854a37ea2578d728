"""Equality of final answers: the table of cases in both directions, and properties that hold for all numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.equality import compare, readable
from rewards.pool import shared
from tests.rewards.cases import DIFFERENT, SAME, pairs


def equal(a, b):
    """Whether the outcome is `correct`; asks the pool where needed."""
    return (compare(a, b) or shared().judge([(a, b)])[0][0]) == "correct"


@pytest.mark.parametrize(("a", "b"), pairs(SAME))
def test_equal(a, b):
    assert equal(a, b) and equal(b, a)


@pytest.mark.parametrize(("a", "b"), pairs(DIFFERENT))
def test_not_equal(a, b):
    assert not equal(a, b) and not equal(b, a)


@given(st.integers(), st.integers(1, 10**6))
def test_rationals_are_compared_exactly(a, b):
    assert compare(f"{a}/{b}", f"{2 * a}/{2 * b}") == "correct"
    assert compare(f"{a}/{b}", f"{a + 1}/{b}") == "wrong"
    assert compare(f"\\frac{{{a}}}{{{b}}}", f"{a}/{b}") == "correct"


@given(st.decimals(-(10**9), 10**9, places=4), st.integers(1, 9))
def test_decimals_have_no_tolerance(number, digit):
    assert compare(f"{number:f}", f"{number:f}0") == "correct"
    assert compare(f"{number:f}", f"{number:f}{digit}") == "wrong"


@given(st.text(max_size=60), st.text(max_size=60))
def test_comparison_is_symmetric_for_any_two_texts(a, b):
    assert compare(a, b) == compare(b, a)


@given(st.text(alphabet="0123456789xyi+-*/^(){}[],.=<>|\\ frac sqrt pi", max_size=40))
def test_a_readable_answer_equals_itself_with_surrounding_spaces(text):
    if readable(text):
        assert compare(text, f" {text} ") == "correct"


@pytest.mark.parametrize("gold", ["", "  ", "x" * 500, "$$", "\\boxed{}"])
def test_an_empty_or_overlong_gold_answer_is_not_readable(gold):
    assert not readable(gold)
