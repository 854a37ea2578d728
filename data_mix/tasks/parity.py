"""Parity: the sum of d bits modulo 2; the steps are the d prefix parities, the last of which is the answer.

Bit strings are drawn in the order of a pseudorandom permutation, so that none repeats and nothing is stored. Rows are
generated in batches with numpy: mixtures of ten million rows are common.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from data_mix.errors import InputError
from data_mix.forms import choose_steps
from data_mix.permutation import Permutation, mix
from data_mix.problem import Problem, ProblemPool

PROMPT_FORMAT = "plain"
_WORD = 60  # bits per element of the permutation
MAX_BITS = 10_000  # a batch of 65,536 rows takes a few GB


def make_problem(bits: str) -> Problem:
    """The parity problem of a bit string such as `"0110"`."""
    prefix = itertools.accumulate(map(int, bits), lambda a, b: a ^ b)
    steps = tuple(str(parity) for parity in prefix)
    meta = {"long": "".join(steps), "style": "parity"}
    return Problem(f"parity/{bits}", "parity", bits + "=", steps, steps[-1], meta)


class BitStrings(ProblemPool):
    """Distinct pseudorandom strings of d bits: elements first to first + n - 1 of a permutation."""

    def __init__(self, d: int, seed: int, first: int, n: int) -> None:
        super().__init__(n, lambda i: make_problem("".join(map(str, self.bits(np.array([i]))[0]))))
        self.d, self.first = d, first
        self.order = Permutation(2 ** min(d, _WORD), f"parity/{d}/{seed}")

    def bits(self, indices: np.ndarray) -> np.ndarray:
        """The bits, uint8 of shape (strings, d). The first 60 are distinct; the rest are a hash of them."""
        words = [self.order(indices + self.first)]
        while len(words) * _WORD < self.d:
            words.append(mix(words[-1] ^ self.order.keys[len(words) % len(self.order.keys)]))
        bits = [np.unpackbits(word.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)[:, -_WORD:] for word in words]
        bits[0] = bits[0][:, -min(self.d, _WORD) :]
        return np.concatenate(bits, axis=1)[:, : self.d]

    def columns(self, indices: Sequence[int], form: str, style: str | None) -> dict:
        """`ProblemPool.columns`, vectorised: all rows have the same length, so a text column is a matrix of characters."""
        bits = self.bits(np.asarray(indices))
        prompt = bits + np.uint8(ord("0"))
        prefix = np.bitwise_xor.accumulate(bits, axis=1) + np.uint8(ord("0"))
        steps = choose_steps(tuple(range(self.d)), form) or (self.d - 1,)
        return {
            "problem_id": _texts("parity/", prompt, ""),
            "source": ["parity"] * len(bits),
            "prompt": _texts("", prompt, "="),
            "completion": _texts("", prefix[:, list(steps)], ""),
            "answer": _texts("", prefix[:, -1:], ""),
            "meta": _texts('{"long": "', prefix, '", "style": "parity"}'),
        }


def _texts(before: str, characters: np.ndarray, after: str):
    """An Arrow string array of `before` + row + `after`, for `characters` of shape (rows, length) in ASCII codes."""
    import pyarrow as pa

    n = len(characters)
    parts = [np.broadcast_to(np.frombuffer(text.encode(), np.uint8), (n, len(text))) for text in (before, after)]
    data = np.concatenate([parts[0], characters, parts[1]], axis=1)
    offsets = np.arange(n + 1, dtype=np.int32) * np.int32(data.shape[1])
    return pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(data)))


def draw(seed: int, n_train: int, n_test: int, *, d: int) -> tuple[ProblemPool, ProblemPool]:
    """Draws n_test + n_train distinct strings of `d` bits, test first, so that test does not depend on n_train."""
    if not isinstance(d, int) or not 2 <= d <= MAX_BITS:
        raise InputError(f"parity: d is {d!r}; it must be an integer from 2 to {MAX_BITS}")
    if n_train + n_test > 2 ** min(d, _WORD):
        raise InputError(f"parity with d = {d}: n_train + n_test is {n_train + n_test}, only {2**d} exist; reduce it")
    return BitStrings(d, seed, n_test, n_train), BitStrings(d, seed, 0, n_test)
