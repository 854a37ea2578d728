"""Computes the number of rows of each source and form: exact for shares of rows, within 0.5 points for shares of tokens.

A plan is a table of counts with one row per source and one column per form. The problems of a source are assigned in the
seed's order, first to the first form. So the problems in long form at p_cot 0.1 are a subset of those at 0.3.
"""

import collections

import numpy as np

from data_mix.errors import InputError

TOLERANCE = 0.005  # maximum deviation of a share of tokens from its target


def apportion(total: int, shares: list[float]) -> list[int]:
    """Divides `total` by `shares` with the largest-remainder method (Hamilton); ties go to even counts, as in `round`."""
    exact = [total * share for share in shares]
    counts = [int(x + 1e-9) for x in exact]

    def priority(i: int) -> tuple[float, int]:
        return round(counts[i] - exact[i], 9), i if counts[i] % 2 else 2 * len(shares) - i

    by_remainder = sorted(range(len(shares)), key=priority)
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return counts


def pick(rows: list[dict], number: int | None) -> list[dict]:
    """The first `number` rows, taken from each source in proportion to its size; all rows for None."""
    if number is None or number >= len(rows):
        return rows
    sizes = collections.Counter(row["source"] for row in rows)
    counts = apportion(number, [size / len(rows) for size in sizes.values()])
    left = dict(zip(sizes, counts, strict=True))
    picked = []
    for row in rows:
        if left[row["source"]] > 0:
            left[row["source"]] -= 1
            picked.append(row)
    return picked


def count_rows(sizes: list[int], shares: list[float]) -> list[list[int]]:
    """The plan for sources of `sizes` rows and forms at `shares`; rows sum to `sizes`, columns to the apportioned total.

    The rows of all sources are merged into one order in which every source is spread evenly (row j of n has the key
    (j + 1/2) / n, the divisor method of Sainte-Laguë), and each form takes a consecutive segment. So increasing the first share
    only adds rows of the first form, and every source has the same shares of forms, to within 1 + (k + 1) n / N rows for n of
    N rows in one of k sources: a segment that ends at key t has n t rows of it to within 1/2, so N t is the segment's end to
    within k / 2, and the segment is apportioned to within 1.
    """
    if len(sizes) == 1:
        return [apportion(sizes[0], shares)]
    keys = np.concatenate([(np.arange(n) + 0.5) / n for n in sizes])
    source = np.repeat(np.arange(len(sizes)), sizes)[np.argsort(keys, kind="stable")]
    segments = np.split(source, np.cumsum(apportion(sum(sizes), shares))[:-1])
    return np.stack([np.bincount(segment, minlength=len(sizes)) for segment in segments], axis=1).tolist()


def count_for_tokens(n: int, shares: list[list[float]], lengths: list[np.ndarray]) -> list[list[int]]:
    """The plan of `n` rows whose completion tokens, not rows, have the given shares.

    Args:
        n: total number of rows.
        shares: target shares of tokens, shape (sources, forms).
        lengths: for each source, completion lengths in tokens, shape (forms, problems), in the seed's order.

    Raises:
        InputError: when a source has too few problems for its share, or when the closest plan is off by more than TOLERANCE.
    """
    target = np.array(shares)
    cumulative = [np.concatenate([np.zeros((len(table), 1)), np.cumsum(table, axis=1)], axis=1) for table in lengths]

    def tokens(counts: np.ndarray) -> np.ndarray:
        ends = np.cumsum(counts, axis=1)
        if any(end[-1] > table.shape[1] for end, table in zip(ends, lengths, strict=True)):
            return np.full(counts.shape, np.nan)
        starts = ends - counts
        return np.array(
            [
                [table[form, ends[s, form]] - table[form, starts[s, form]] for form in range(len(table))]
                for s, table in enumerate(cumulative)
            ]
        )

    def distance(counts: np.ndarray) -> float:
        sums = tokens(counts)
        return float(np.abs(sums / sums.sum() - target).max()) if not np.isnan(sums).any() else np.inf

    def scaled(weights: np.ndarray) -> np.ndarray:
        return np.array(apportion(n, (weights / weights.sum()).ravel().tolist())).reshape(target.shape)

    means = np.array([table.mean(axis=1) for table in lengths])
    counts = scaled(target / means)
    for _ in range(20):  # fixed-point iteration: rescale by the mean lengths of the rows selected
        sums = tokens(counts)
        if np.isnan(sums).any():
            break
        means = np.where(counts > 0, sums / np.maximum(counts, 1), means)
        counts = min(counts, scaled(target / means), key=distance)
    while True:  # local search: move one row between two cells while this reduces the distance
        moves = []
        for donor, recipient in np.ndindex(target.size, target.size):
            if donor != recipient and counts.flat[donor] > 0 and target.flat[recipient] > 0:
                moved = counts.copy()
                moved.flat[donor] -= 1
                moved.flat[recipient] += 1
                moves.append(moved)
        best = min(moves, key=distance, default=counts)
        if not distance(best) < distance(counts):
            break
        counts = best
    if np.isinf(distance(counts)):
        need = counts.sum(axis=1).tolist()
        have = [table.shape[1] for table in lengths]
        raise InputError(f"unit: tokens needs {need} rows of the sources, which have {have}; reduce n_train")
    if distance(counts) > TOLERANCE:
        error = f"{100 * distance(counts):.2f}"
        raise InputError(f"unit: tokens: with {n} rows a share is off by {error} points, more than 0.5; increase n_train")
    return counts.tolist()
