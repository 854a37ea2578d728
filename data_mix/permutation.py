"""A pseudorandom permutation of 0 .. n-1, n up to 2^62, computed on demand in constant time and memory per element.

A Feistel network permutes the next even power of two; values outside 0 .. n-1 are enciphered again until they fall inside
(cycle walking: Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002). Numbered problems can thus be drawn without
repetition, and train and test are disjoint by construction.
"""

import hashlib

import numpy as np

LARGEST = 2**62
_ROUNDS = 6


class Permutation:
    """The permutation of 0 .. n-1 selected by `key`; identical across processes and machines."""

    def __init__(self, n: int, key: str) -> None:
        if not 1 <= n <= LARGEST:
            raise ValueError(f"n is {n}; it must be from 1 to 2^62")
        self.n = n
        half = max(1, ((n - 1).bit_length() + 1) // 2)
        self.half, self.mask = np.uint64(half), np.uint64(2**half - 1)
        digest = hashlib.sha256(key.encode()).digest() + hashlib.sha256(f"{key}/2".encode()).digest()
        self.keys = np.frombuffer(digest, dtype="<u8")[:_ROUNDS]

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        """The images of `indices` (integers from 0 to n-1): uint64 of the same shape."""
        values = self._encipher(indices.astype(np.uint64))
        outside = np.flatnonzero(values >= self.n)
        while outside.size:
            values[outside] = self._encipher(values[outside])
            outside = outside[values[outside] >= self.n]
        return values

    def _encipher(self, values: np.ndarray) -> np.ndarray:
        left, right = values >> self.half, values & self.mask
        for key in self.keys:
            left, right = right, left ^ (mix(right ^ key) & self.mask)
        return (left << self.half) | right


def mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea and Flood, 2014), uint64 to uint64: all output bits depend on all input bits."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
