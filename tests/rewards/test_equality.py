"""Whether two final answers are equal: the table of cases, both ways round, and what holds for all numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.equality import readable, settle
from rewards.pool import shared
from tests.rewards.cases import DIFFERENT, SAME, pairs


def equal(a, b):
    """Whether the outcome is correct, from the pool where it takes one."""
    return (settle(a, b) or shared().judge([(a, b)])[0][0]) == "correct"


def test_there_are_enough_cases_and_more_that_differ():
    assert len(pairs(SAME)) >= 150 and len(pairs(DIFFERENT)) >= len(pairs(SAME))


@pytest.mark.parametrize(("a", "b"), pairs(SAME))
def test_equal(a, b):
    assert equal(a, b) and equal(b, a)


@pytest.mark.parametrize(("a", "b"), pairs(DIFFERENT))
def test_not_equal(a, b):
    assert not equal(a, b) and not equal(b, a)


@given(st.integers(), st.integers(1, 10**6))
def test_rationals_are_compared_exactly(a, b):
    assert settle(f"{a}/{b}", f"{2 * a}/{2 * b}") == "correct"
    assert settle(f"{a}/{b}", f"{a + 1}/{b}") == "wrong"
    assert settle(f"\\frac{{{a}}}{{{b}}}", f"{a}/{b}") == "correct"


@given(st.decimals(-(10**9), 10**9, places=4), st.integers(1, 9))
def test_decimals_have_no_tolerance(number, digit):
    assert settle(f"{number:f}", f"{number:f}0") == "correct"
    assert settle(f"{number:f}", f"{number:f}{digit}") == "wrong"


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_two_texts_get_a_verdict_and_the_same_one_swapped(a, b):
    assert settle(a, b) == settle(b, a)


@given(st.text(alphabet="0123456789xyi+-*/^(){}[],.=<>|\\ frac sqrt pi", max_size=40))
def test_what_can_be_read_is_equal_to_itself_with_other_blanks(text):
    if readable(text):
        assert settle(text, f" {text} ") == "correct"


@pytest.mark.parametrize("gold", ["", "  ", "x" * 500, "$$", "\\boxed{}"])
def test_a_gold_answer_that_says_nothing_is_not_readable(gold):
    assert not readable(gold)
