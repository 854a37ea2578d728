"""Parity: the sum modulo 2 of d bits; the steps are the d prefix parities, the last of which is the answer.

The strings are numbered and a permutation of their numbers is the order in which they are drawn, so that none comes twice,
and nothing is kept in memory. Rows are made many at a time: ten million of them are an ordinary mixture.
"""

import itertools

import numpy as np

from data_mix.errors import InputError
from data_mix.forms import choose_steps
from data_mix.permutation import Permutation, mix
from data_mix.problem import Problem, ProblemPool

PROMPT_FORMAT = "plain"
_WORD = 60  # bits from one number


def make_problem(bits: str) -> Problem:
    """The parity problem of a bit string such as `"0110"`."""
    prefix = itertools.accumulate(map(int, bits), lambda a, b: a ^ b)
    steps = tuple(str(parity) for parity in prefix)
    meta = {"long": "".join(steps), "style": "parity"}
    return Problem(f"parity/{bits}", "parity", bits + "=", steps, steps[-1], meta)


class Strings(ProblemPool):
    """Different random strings of d bits, by number."""

    def __init__(self, d: int, seed: int, first: int, n: int) -> None:
        super().__init__(n, lambda number: make_problem("".join(map(str, self.bits(np.array([number]))[0]))))
        self.d, self.first = d, first
        self.order = Permutation(2 ** min(d, _WORD), f"parity/{d}/{seed}")

    def bits(self, numbers: np.ndarray) -> np.ndarray:
        """(strings, d) bits, uint8. The first 60 tell the strings apart; those after them are a function of the first."""
        words = [self.order(numbers + self.first)]
        while len(words) * _WORD < self.d:
            words.append(mix(words[-1] ^ self.order.keys[len(words) % len(self.order.keys)]))
        bits = [np.unpackbits(word.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)[:, -_WORD:] for word in words]
        bits[0] = bits[0][:, -min(self.d, _WORD) :]
        return np.concatenate(bits, axis=1)[:, : self.d]

    def columns(self, numbers, form: str, style: str | None) -> dict:
        """As `ProblemPool.columns`, in one piece: every row has the same length, so text is a matrix of characters."""
        bits = self.bits(np.asarray(numbers))
        prompt = bits + np.uint8(ord("0"))
        prefix = np.bitwise_xor.accumulate(bits, axis=1) + np.uint8(ord("0"))
        places = choose_steps(tuple(range(self.d)), form) or (self.d - 1,)
        return {
            "problem_id": _texts("parity/", prompt, ""),
            "source": ["parity"] * len(bits),
            "prompt": _texts("", prompt, "="),
            "completion": _texts("", prefix[:, list(places)], ""),
            "answer": _texts("", prefix[:, -1:], ""),
            "meta": _texts('{"long": "', prefix, '", "style": "parity"}'),
        }


def _texts(before: str, characters: np.ndarray, after: str):
    """An arrow string array of `before` + each row of (rows, length) ASCII codes + `after`."""
    import pyarrow as pa

    n = len(characters)
    parts = [np.broadcast_to(np.frombuffer(text.encode(), np.uint8), (n, len(text))) for text in (before, after)]
    data = np.concatenate([parts[0], characters, parts[1]], axis=1)
    offsets = np.arange(n + 1, dtype=np.int32) * np.int32(data.shape[1])
    return pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data)))


def draw(seed: int, n_train: int, n_test: int, *, d: int) -> tuple[ProblemPool, ProblemPool]:
    """n_test + n_train different strings of `d` bits, the test ones first: they do not depend on n_train."""
    if not isinstance(d, int) or d < 2:
        raise InputError(f"parity: d is {d}; it must be a whole number of at least 2")
    if n_train + n_test > 2 ** min(d, _WORD):
        raise InputError(f"parity with d = {d}: {n_train + n_test} different problems asked for, only {2**d} exist")
    return Strings(d, seed, n_test, n_train), Strings(d, seed, 0, n_test)
