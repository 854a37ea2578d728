"""Gold answers, by the verifier that will judge the model: the one place where data_mix uses `rewards`, loaded when needed."""

import json
from collections.abc import Iterable

from tqdm.auto import tqdm

from data_mix.problem import ProblemPool


def differ(a: str, b: str) -> bool:
    """Whether two answers are different for the verifier; not where only a computer algebra system could say."""
    from rewards.equality import settle

    return a.strip() != b.strip() and settle(a, b) not in ("correct", None)


def choose(n: int, most: int, sample: int) -> range | list[int]:
    """The numbers of the problems to judge: all of `n` up to `most`, else `sample` of them, evenly spread."""
    return range(n) if n <= most else [i * n // sample for i in range(sample)]


def judge(pool: ProblemPool, numbers: Iterable[int], forms: Iterable[str], style: str | None) -> dict[int, str]:
    """The numbers of the problems whose gold completion is not judged correct in some form, each with what was seen.

    A long form must also pass as a chain where the task has one that is checked to the letter.
    """
    from rewards.scorer import Item, score

    numbers = list(numbers)
    wrong: dict[int, str] = {}
    for form in tqdm(forms, desc="checking gold completions", unit=" forms", delay=2):
        columns = {name: list(map(str, values)) for name, values in pool.columns(numbers, form, style).items()}
        rows = zip(columns["completion"], columns["answer"], map(json.loads, columns["meta"]), strict=True)
        items = [Item(*row) for row in rows]
        for number, item, verdict in zip(numbers, items, score(items), strict=True):
            chain = verdict.chain or form != "long" or "long" not in item.meta
            if verdict.outcome != "correct" or not chain:
                seen = f"extracted {_shown(verdict.extracted)}, gold {_shown(item.answer)}"
                wrong.setdefault(number, f"{form}, {verdict.outcome if chain else 'wrong chain'}: {seen}")
    return {number: wrong[number] for number in sorted(wrong)}


def _shown(text: str | None) -> str:
    shown = repr(text)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."
