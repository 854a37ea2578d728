"""A shuffle of 0 .. n-1 that is computed, not stored: any place of it costs the same, and no memory, at any n up to 2^62.

A Feistel network permutes the next even power of two; a value that falls outside 0 .. n-1 goes through it again until it
falls inside (cycle walking: Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002). So problems that are
numbered can be drawn without repetition, and train and test be kept apart, by construction.
"""

import hashlib

import numpy as np

LARGEST = 2**62
_ROUNDS = 6


class Permutation:
    """A permutation of 0 .. n-1 that `key` chooses; the same in every process and on every machine."""

    def __init__(self, n: int, key: str) -> None:
        if not 1 <= n <= LARGEST:
            raise ValueError(f"n is {n}, it must be from 1 to 2^62")
        self.n = n
        half = max(1, ((n - 1).bit_length() + 1) // 2)
        self.half, self.mask = np.uint64(half), np.uint64(2**half - 1)
        digest = hashlib.sha256(key.encode()).digest() + hashlib.sha256(f"{key}/2".encode()).digest()
        self.keys = np.frombuffer(digest, dtype="<u8")[:_ROUNDS]

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """Where each of `places` (integers from 0 to n-1) goes: uint64 of the same shape."""
        values = self._encipher(places.astype(np.uint64))
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
    """splitmix64's finaliser (Steele, Lea and Flood, 2014): uint64 to uint64, every bit depends on every bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
