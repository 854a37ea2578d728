"""Checks gold completions with the verifier that later scores the model."""

import json
from collections.abc import Iterable

from tqdm.auto import tqdm

from data_mix.problem import ProblemPool


def differ(a: str, b: str) -> bool:
    """Whether the verifier finds two answers different; False where only a computer algebra system could decide."""
    from rewards.equality import compare

    return a.strip() != b.strip() and compare(a, b) not in ("correct", None)


def choose(n: int, limit: int, sample: int) -> range | list[int]:
    """The indices of the problems to check: all `n` of them up to `limit`, otherwise `sample` of them, evenly spaced."""
    return range(n) if n <= limit else [i * n // sample for i in range(sample)]


def find_wrong(pool: ProblemPool, indices: Iterable[int], forms: Iterable[str], style: str | None) -> dict[int, str]:
    """Scores gold completions in every form; returns the indices of those not judged correct, with a description.

    For tasks whose chain is checked exactly, the long form must also pass as a chain.
    """
    from rewards.audit import shorten
    from rewards.scorer import Item, score

    indices = list(indices)
    wrong: dict[int, str] = {}
    for form in tqdm(forms, desc="checking gold completions", unit=" forms", delay=2):
        columns = {name: list(map(str, values)) for name, values in pool.columns(indices, form, style).items()}
        rows = zip(columns["completion"], columns["answer"], map(json.loads, columns["meta"]), strict=True)
        items = [Item(*row) for row in rows]
        for index, item, verdict in zip(indices, items, score(items), strict=True):
            chain = verdict.chain or form != "long" or "long" not in item.meta
            if verdict.outcome != "correct" or not chain:
                answers = f"extracted {shorten(verdict.extracted)}, gold {shorten(item.answer)}"
                wrong.setdefault(index, f"{form}, {verdict.outcome if chain else 'wrong chain'}: {answers}")
    return dict(sorted(wrong.items()))
