"""Plans have exact margins in rows, and are within the tolerance in tokens."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_mix.errors import InputError
from data_mix.plan import apportion, count_for_tokens, count_rows, pick

shares = st.lists(st.integers(1, 1000), min_size=1, max_size=6).map(lambda w: [x / sum(w) for x in w])


@given(total=st.integers(0, 5000), shares=shares)
def test_apportioned_counts_sum_to_the_total_and_are_within_one_of_their_share(total, shares):
    counts = apportion(total, shares)
    assert sum(counts) == total
    assert all(abs(count - total * share) < 1 + 1e-6 for count, share in zip(counts, shares, strict=True))


@given(total=st.integers(0, 5000), percent=st.integers(0, 100))
def test_the_number_of_long_rows_is_python_s_round_of_p_cot_times_n(total, percent):
    p_cot = percent / 100
    assert apportion(total, [p_cot, 1 - p_cot])[0] == round(percent * total / 100)


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4), number=st.none() | st.integers(0, 200))
def test_the_first_rows_are_those_of_every_source(sizes, number):
    rows = [{"source": str(source), "number": i} for source, size in enumerate(sizes) for i in range(size)]
    picked = pick(rows, number)
    total = len(rows) if number is None else min(number, len(rows))
    assert len(picked) == total and [row for row in rows if row in picked] == picked
    for source, size in enumerate(sizes):
        own = [row["number"] for row in picked if row["source"] == str(source)]
        assert own == list(range(len(own))) and abs(len(own) - total * size / len(rows)) < 1 + 1e-6


@given(sizes=st.lists(st.integers(0, 60), min_size=1, max_size=4), shares=shares)
def test_both_margins_are_exact_and_every_source_has_its_share_of_each_form(sizes, shares):
    table = count_rows(sizes, shares)
    assert [sum(row) for row in table] == sizes
    assert [sum(column) for column in zip(*table, strict=True)] == apportion(sum(sizes), shares)
    for size, row in zip(sizes, table, strict=True):
        bound = 1 + (len(sizes) + 1) * size / max(sum(sizes), 1)  # see count_rows
        assert all(abs(count - size * share) < bound + 1e-6 for count, share in zip(row, shares, strict=True))


@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4), p=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_larger_share_of_long_reduces_no_source_s_long_rows(sizes, p):
    few, many = (count_rows(sizes, [q, 1 - q]) for q in sorted(p))
    assert all(a[0] <= b[0] for a, b in zip(few, many, strict=True))


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 999), p_cot=st.floats(0, 1), share=st.floats(0.1, 0.9))
def test_shares_of_tokens_are_within_half_a_point(seed, p_cot, share):
    rng = np.random.default_rng(seed)
    lengths = [
        np.stack([rng.integers(40, 160, 30_000), rng.integers(3, 6, 30_000)]),
        np.stack([rng.integers(100, 300, 30_000), rng.integers(3, 9, 30_000)]),
    ]
    shares = [[s * q for q in (p_cot, 1 - p_cot)] for s in (share, 1 - share)]
    table = np.array(count_for_tokens(20_000, shares, lengths))
    assert table.sum() == 20_000
    taken = [[lengths[s][0, : table[s, 0]].sum(), lengths[s][1, table[s, 0] : table[s].sum()].sum()] for s in (0, 1)]
    assert np.abs(np.array(taken) / np.sum(taken) - shares).max() <= 0.005


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), share=st.floats(0.1, 0.9))
def test_with_shares_of_tokens_a_form_or_source_with_share_0_gets_no_row(seed, share):
    rng = np.random.default_rng(seed)
    lengths = [np.stack([rng.integers(40, 160, 10_000), rng.integers(3, 6, 10_000)]) for _ in range(2)]
    for shares in ([[share, 0], [1 - share, 0]], [[share, 1 - share], [0, 0]]):
        table = np.array(count_for_tokens(10_000, shares, lengths))
        assert table.sum() == 10_000 and not table[np.array(shares) == 0].any()


def test_too_few_rows_for_the_tolerance_and_too_few_problems_are_errors():
    lengths = [np.array([[100] * 40, [1] * 40])]
    with pytest.raises(InputError, match="off by .* points, more than 0.5; increase n_train"):
        count_for_tokens(12, [[0.5, 0.5]], lengths)
    with pytest.raises(InputError, match=r"needs \[1000\] rows of the sources, which have \[40\]"):
        count_for_tokens(1000, [[0.5, 0.5]], lengths)
