import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.equality import equal

SAME = [
    ("42", "42"),
    ("42.0", "42"),
    ("$1,000", "1000"),
    ("1/2", "0.5"),
    ("28%", "28"),
    ("18.", "18"),
    (r"\frac{1}{2}", "0.5"),
    (r"\dfrac{3}{4}", r"\frac{3}{4}"),
    ("x^2+2x", "2x+x^2"),
    (r"\sqrt{8}", r"2\sqrt{2}"),
    ("(1,2)", "(1, 2)"),
]
DIFFERENT = [
    ("42", "41"),
    ("0.33", "1/3"),
    ("", "0"),
    ("1e400" * 200, "1"),
    ("9" * 5000, "9"),
    ("(1,2)", "(2,1)"),
    (r"\frac{1}{2}", "2"),
    ("__import__('os').system('true')", "0"),
]


@pytest.mark.parametrize(("a", "b"), SAME)
def test_equal(a, b):
    assert equal(a, b) and equal(b, a)


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_not_equal(a, b):
    assert not equal(a, b) and not equal(b, a)


@given(st.integers(), st.integers(1, 10**6))
def test_numbers_are_compared_exactly(a, b):
    assert equal(f"{a}/{b}", f"{2 * a}/{2 * b}")
    assert not equal(f"{a}/{b}", f"{a + 1}/{b}")


def test_the_verdict_is_the_same_off_the_main_thread():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(equal(r"\frac{2}{4}", "0.5")))
    thread.start()
    thread.join()
    assert seen == [True]
