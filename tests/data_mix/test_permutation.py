"""Permutations are bijective at any size, and look random."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_mix.permutation import LARGEST, Permutation


@given(n=st.integers(1, 3000), key=st.text(max_size=5))
def test_every_number_occurs_exactly_once(n, key):
    assert sorted(Permutation(n, key)(np.arange(n)).tolist()) == list(range(n))


def test_the_largest_sizes_stay_in_range_and_distinct():
    for n in (2**60, LARGEST, 81 * 10**16):
        values = Permutation(n, "k")(np.arange(10_000))
        assert len(np.unique(values)) == 10_000 and values.max() < n


def test_values_depend_on_key_and_index_and_not_on_the_batch():
    order = Permutation(1000, "a")
    assert (order(np.arange(1000)) == np.concatenate([order(np.arange(10)), order(np.arange(10, 1000))])).all()
    same = (order(np.arange(1000)) == Permutation(1000, "b")(np.arange(1000))).mean()
    assert same < 0.02


def test_values_look_random():
    """Each bit of the first 100,000 values is set half of the time, within five standard errors."""
    values = Permutation(2**40, "bits")(np.arange(100_000))
    for bit in range(40):
        assert ((values >> np.uint64(bit)) & np.uint64(1)).mean() == pytest.approx(0.5, abs=5 * 0.5 / 100_000**0.5)
