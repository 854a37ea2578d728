"""Parity: the sum modulo 2 of d bits; the steps are the d prefix parities, the last of which is the answer."""

import itertools
import random

from data_mix.errors import InputError
from data_mix.problem import Problem, distinct

STYLE = "parity"
PROMPT_FORMAT = "plain"


def make_problem(bits: str) -> Problem:
    """The parity problem of a bit string such as `"0110"`."""
    prefix = itertools.accumulate(map(int, bits), lambda a, b: a ^ b)
    steps = tuple(str(parity) for parity in prefix)
    meta = {"style": STYLE, "long": "".join(steps)}
    return Problem(f"parity/{bits}", "parity", bits + "=", steps, steps[-1], meta)


def load(seed: int, n_train: int | None, n_test: int, *, d: int) -> tuple[list[Problem], list[Problem]]:
    """Draws n_test + n_train different strings of `d` bits, the test ones first: they do not depend on n_train."""
    if d < 2:
        raise InputError(f"parity: d is {d}, it must be at least 2")
    if n_train is None:
        raise InputError("parity: n_train must be given, problems are generated")
    rng = random.Random(f"parity/{d}/{seed}")
    draw = lambda: make_problem(f"{rng.getrandbits(d):0{d}b}")  # noqa: E731
    problems = list(distinct(draw, n_train + n_test, 2**d, f"parity with d = {d}"))
    return problems[n_test:], problems[:n_test]
