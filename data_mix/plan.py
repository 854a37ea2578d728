"""How many rows of each source and form: exact in rows, or as near as rows allow in tokens.

A plan is a table of counts, sources down, forms across. The rows of a source take its problems in the seed's order, the first
form's rows first. So the problems in long form at p_cot 0.1 are among those at 0.3, and only the form differs.
"""

import numpy as np

from data_mix.errors import InputError

TOLERANCE = 0.005  # how far a share of tokens may be from what was asked for


def apportion(total: int, shares: list[float]) -> list[int]:
    """`total` divided at `shares` by the largest-remainder method (Hamilton); a half goes to the even, as in `round`."""
    exact = [total * share for share in shares]
    counts = [int(x + 1e-9) for x in exact]

    def priority(i: int) -> tuple[float, int]:
        return round(counts[i] - exact[i], 9), i if counts[i] % 2 else 2 * len(shares) - i

    by_remainder = sorted(range(len(shares)), key=priority)
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return counts


def count_rows(sizes: list[int], shares: list[float]) -> list[list[int]]:
    """The table for sources of `sizes` rows and forms at `shares`: rows sum to the sizes, columns to the apportioned total.

    The rows of all sources are laid out in one order in which every source is spread evenly (the key of the j-th of n
    is (j + 1/2) / n, the divisor method of Sainte-Lague), and the forms take consecutive stretches of it. So every source
    has its forms at the same shares to within a row, and a larger first share only adds rows of the first form.
    """
    if len(sizes) == 1:
        return [apportion(sizes[0], shares)]
    keys = np.concatenate([(np.arange(n) + 0.5) / n for n in sizes])
    source = np.repeat(np.arange(len(sizes)), sizes)[np.argsort(keys, kind="stable")]
    stretches = np.split(source, np.cumsum(apportion(sum(sizes), shares))[:-1])
    return np.stack([np.bincount(stretch, minlength=len(sizes)) for stretch in stretches], axis=1).tolist()


def count_for_tokens(n: int, shares: list[list[float]], lengths: list[np.ndarray]) -> list[list[int]]:
    """The table of `n` rows whose tokens, not rows, are at `shares` (sources down, forms across).

    Args:
        lengths: for each source (forms, problems): the completion's tokens of each problem in each form, in the seed's order.

    Raises:
        InputError: when a source has too few problems for its share, or when no table is within TOLERANCE of the shares.
    """
    target = np.array(shares)
    before = [np.concatenate([np.zeros((len(table), 1)), np.cumsum(table, axis=1)], axis=1) for table in lengths]

    def tokens(counts: np.ndarray) -> np.ndarray:
        ends = np.cumsum(counts, axis=1)
        if any(end[-1] > table.shape[1] for end, table in zip(ends, lengths, strict=True)):
            return np.full(counts.shape, np.nan)
        starts = ends - counts
        return np.array(
            [
                [table[form, ends[s, form]] - table[form, starts[s, form]] for form in range(len(table))]
                for s, table in enumerate(before)
            ]
        )

    def distance(counts: np.ndarray) -> float:
        sums = tokens(counts)
        return float(np.abs(sums / sums.sum() - target).max()) if not np.isnan(sums).any() else np.inf

    def scaled(weights: np.ndarray) -> np.ndarray:
        return np.array(apportion(n, (weights / weights.sum()).ravel().tolist())).reshape(target.shape)

    means = np.array([table.mean(axis=1) for table in lengths])
    counts = scaled(target / means)
    for _ in range(20):  # towards the rows that were really taken
        sums = tokens(counts)
        if np.isnan(sums).any():
            break
        means = np.where(counts > 0, sums / np.maximum(counts, 1), means)
        counts = min(counts, scaled(target / means), key=distance)
    while True:  # then one row at a time from cell to cell
        moves = []
        for giver, taker in np.ndindex(target.size, target.size):
            if giver != taker and counts.flat[giver] > 0:
                moved = counts.copy()
                moved.flat[giver] -= 1
                moved.flat[taker] += 1
                moves.append(moved)
        best = min(moves, key=distance, default=counts)
        if not distance(best) < distance(counts):
            break
        counts = best
    if np.isinf(distance(counts)):
        need = np.cumsum(counts, axis=1)[:, -1].tolist()
        have = [table.shape[1] for table in lengths]
        raise InputError(f"unit: tokens needs {need} rows of the sources, they have {have}; ask for a smaller n_train")
    if distance(counts) > TOLERANCE:
        off = f"{100 * distance(counts):.2f}"
        raise InputError(f"unit: tokens: with {n} rows a share is {off} points off, more than 0.5; ask for more rows")
    return counts.tolist()
