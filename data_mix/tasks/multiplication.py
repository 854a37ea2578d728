"""Multiplication of n-digit by m-digit numbers, every number written from its last digit to its first (arXiv 2510.11495).

The steps are the partial products and the running sums, one a digit of the second factor: 12 * 34 is `21*43=`, in long form
`840;0630=8040`: 4 * 12 = 048, then 30 * 12 = 0360, and 048 + 0360 = 0408, the answer. Numbers are padded with zeros to the
width that they can need, so that all rows of a form have one length.
"""

from collections.abc import Iterator

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
    """Different random pairs of an n-digit and an m-digit number, by number."""

    def __init__(self, n: int, m: int, seed: int, first: int, count: int) -> None:
        super().__init__(count, lambda number: next(self.problems([number])))
        self.least, self.first = (10 ** (n - 1), 10 ** (m - 1)), first
        self.order = Permutation(pairs(n, m), f"multiplication/{n}/{m}/{seed}")

    def problems(self, numbers) -> Iterator[Problem]:
        """The problems of these numbers; their places are computed together."""
        for place in self.order(np.asarray(numbers) + self.first).tolist():
            a, b = divmod(place, 9 * self.least[1])
            yield make_problem(a + self.least[0], b + self.least[1])


def pairs(n: int, m: int) -> int:
    """How many pairs of an n-digit and an m-digit number there are."""
    return 9 * 10 ** (n - 1) * 9 * 10 ** (m - 1)


def draw(seed: int, n_train: int, n_test: int, *, n: int, m: int) -> tuple[ProblemPool, ProblemPool]:
    """n_test + n_train different pairs of an `n`-digit and an `m`-digit number, the test ones first."""
    for name, digits, least in (("n", n, 1), ("m", m, 2)):
        if not isinstance(digits, int) or not least <= digits <= 9:
            raise InputError(f"multiplication: {name} is {digits}; it must be a whole number from {least} to 9")
    if n_train + n_test > pairs(n, m):
        asked = f"{n_train + n_test} different problems asked for"
        raise InputError(f"multiplication {n} x {m}: {asked}, only {pairs(n, m)} exist")
    return Products(n, m, seed, n_test, n_train), Products(n, m, seed, 0, n_test)
