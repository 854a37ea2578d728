"""Multiplication of n-digit by m-digit numbers, all numbers written with reversed digits (arXiv 2510.11495).

Each step is a partial product and the running sum, one step per digit of the second factor. 12 * 34 has the prompt `21*43=`
and the long form `840;0630=8040`: 4 * 12 = 048, then 30 * 12 = 0360, and 048 + 0360 = 0408, the answer. Numbers are
zero-padded to their maximum width, so all rows of a form have the same length.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from data_mix.errors import InputError
from data_mix.permutation import Permutation
from data_mix.problem import Problem, ProblemPool

PROMPT_FORMAT = "plain"


def make_problem(a: int, b: int) -> Problem:
    """The problem a * b."""
    n, m = len(str(a)), len(str(b))
    steps, total = [], 0
    for place, digit in enumerate(reversed(str(b))):
        part, width = a * int(digit) * 10**place, n + 1 + place
        total += part
        steps.append(_reversed(part, width) if place == 0 else f"{_reversed(part, width)}={_reversed(total, width)}")
    prompt = f"{_reversed(a, n)}*{_reversed(b, m)}="
    meta = {"long": ";".join(steps), "style": "multiplication"}
    return Problem(f"multiplication/{a}*{b}", "multiplication", prompt, tuple(steps), str(a * b), meta)


def _reversed(number: int, width: int) -> str:
    return f"{number:0{width}d}"[::-1]


class Products(ProblemPool):
    """Distinct pseudorandom pairs of an n-digit and an m-digit number: elements first to first + count - 1 of a permutation."""

    def __init__(self, n: int, m: int, seed: int, first: int, count: int) -> None:
        super().__init__(count, lambda i: next(self.problems([i])))
        self.smallest, self.first = (10 ** (n - 1), 10 ** (m - 1)), first
        self.order = Permutation(pairs(n, m), f"multiplication/{n}/{m}/{seed}")

    def problems(self, indices: Sequence[int]) -> Iterator[Problem]:
        """The problems at `indices`; their pairs are computed in one batch."""
        for pair in self.order(np.asarray(indices) + self.first).tolist():
            a, b = divmod(pair, 9 * self.smallest[1])
            yield make_problem(a + self.smallest[0], b + self.smallest[1])


def pairs(n: int, m: int) -> int:
    """The number of pairs of an n-digit and an m-digit number."""
    return 9 * 10 ** (n - 1) * 9 * 10 ** (m - 1)


def draw(seed: int, n_train: int, n_test: int, *, n: int, m: int) -> tuple[ProblemPool, ProblemPool]:
    """Draws n_test + n_train distinct pairs of an `n`-digit and an `m`-digit number, test first."""
    for name, digits, low in (("n", n, 1), ("m", m, 2)):
        if type(digits) is not int or not low <= digits <= 9:  # True is an int
            raise InputError(f"multiplication: {name} is {digits!r}; it must be an integer from {low} to 9")
    if n_train + n_test > pairs(n, m):
        total = n_train + n_test
        raise InputError(f"multiplication {n} x {m}: n_train + n_test is {total}, only {pairs(n, m)} exist; reduce it")
    return Products(n, m, seed, n_test, n_train), Products(n, m, seed, 0, n_test)
