"""Breakdowns of an eval: the rows of each source, and of each value of a field of the problems' `meta` (level, steps)."""

import json
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

NOT_A_FIELD = ("style", "long")  # what the verifier reads from meta
LARGEST = 1e15  # numbers beyond it are texts
MAX_NUMBERS = 10  # a numeric field with more distinct values is split at its quartiles
MAX_TEXTS = 20  # a text field with more distinct values is left out: it names problems rather than groups of them


def group_by(rows: Sequence[dict], column: str) -> dict[str, list[dict]]:
    """Value of a column → the rows with it, in order of appearance."""
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    return groups


def by_meta(rows: Sequence[dict]) -> dict[str, dict[str, list[dict]]]:
    """Field of `meta` → value → the rows with it. Numbers are in ascending order; `Level 2` comes before `Level 10`.

    Only fields that hold a number or a text, with at least two values. Rows that lack a field are not in its groups.
    """
    counts = Counter(row["meta"] for row in rows)
    metas = {text: json.loads(text) for text in counts}
    values: dict[str, dict[str, object]] = {}
    for text, meta in metas.items():
        for field, value in meta.items():
            if isinstance(value, str | int | float) and field not in NOT_A_FIELD:
                values.setdefault(field, {})[text] = value
    labels = {field: _labels(found, counts) for field, found in sorted(values.items())}
    groups = {}
    for field, label_of in labels.items():
        found: dict[str, list[dict]] = {label: [] for label in label_of.values()}
        for row in rows:
            if row["meta"] in label_of:
                found[label_of[row["meta"]]].append(row)
        if len(found) > 1:
            groups[field] = found
    return groups


def _labels(values: dict[str, object], counts: dict[str, int]) -> dict[str, str]:
    """Meta → the label of its value, in the order in which labels are shown; empty if there are too many texts.

    Args:
        values: meta → its value of a field.
        counts: meta → how many rows have it.
    """
    distinct = set(values.values())
    if not all(isinstance(value, int | float) and abs(value) < LARGEST for value in distinct):
        names = {text: str(value) for text, value in values.items()}
        few = len(set(names.values())) <= MAX_TEXTS
        return dict(sorted(names.items(), key=lambda item: _natural(item[1]))) if few else {}
    ordered = dict(sorted(values.items(), key=lambda item: item[1]))
    if len(distinct) <= MAX_NUMBERS:
        return {text: _number(value) for text, value in ordered.items()}
    of_rows = np.repeat(list(ordered.values()), [counts[text] for text in ordered])
    cuts = [cut for cut in np.quantile(of_rows, (0.25, 0.5, 0.75)) if cut < of_rows[-1]]
    quartile = np.searchsorted(cuts or [of_rows[of_rows < of_rows[-1]][-1]], list(ordered.values()))
    members = {q: [v for v, other in zip(ordered.values(), quartile, strict=True) if other == q] for q in set(quartile)}
    ends = {q: (_number(found[0]), _number(found[-1])) for q, found in members.items()}
    names = {q: low if low == high else f"{low} to {high}" for q, (low, high) in ends.items()}
    return {text: names[q] for text, q in zip(ordered, quartile, strict=True)}


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.12g}"


def _natural(text: str) -> list:
    """A sort key by which numbers inside texts count as numbers."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]
