"""Judges rewrites of all local gold answers: rewrites.py keeps the meaning, changes.py changes it.

python -m tests.rewards.metamorphic ../shared/data     # prints how often each rewrite is accepted; about a minute
"""

import argparse
import collections
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from rewards.scorer import Item, score
from tests.rewards.changes import CHANGING, changing
from tests.rewards.golds import gold_answers
from tests.rewards.rewrites import PRESERVING, preserving

Judged = tuple[str, str, str, bool]  # the rewrite's name, the rewritten answer, the gold answer, whether it was accepted


def judge(golds: Iterable[str], rewrites: Callable[[str], Iterator[tuple[str, str]]]) -> list[Judged]:
    """Scores every rewrite of every gold answer as a completion, in both directions."""
    named = [(name, text, gold) for gold in golds for name, text in rewrites(gold)]
    verdicts = score([Item(_boxed(text), gold, {"style": "boxed"}) for _, text, gold in named])
    swapped = score([Item(_boxed(gold), text, {"style": "boxed"}) for _, text, gold in named])
    judged = []
    for (name, text, gold), verdict, other in zip(named, verdicts, swapped, strict=True):
        accepted = verdict.outcome == "correct"
        if "\\boxed" not in text and accepted != (other.outcome == "correct"):
            raise AssertionError(f"{text!r} and {gold!r} are judged differently when swapped")
        judged.append((name, text, gold, accepted))
    return judged


def _boxed(text: str) -> str:
    return text if "\\boxed" in text else f"\\boxed{{{text}}}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    golds = gold_answers(parser.parse_args().data)
    for title, rewrites in (("keep the meaning", preserving), ("change the meaning", changing)):
        judged = judge(golds, rewrites)
        accepted = sum(each[-1] for each in judged)
        print(f"{len(judged):,} rewrites of {len(golds):,} gold answers that {title}: {accepted / len(judged):.3%} accepted")
        counts = collections.defaultdict(list)
        for name, *_, right in judged:
            counts[name].append(right)
        for name, each in ((name, each) for name, each in counts.items() if name in (*PRESERVING, *CHANGING)):
            print(f"    {name:<35} {sum(each):>7,} of {len(each):>7,}")


if __name__ == "__main__":
    main()
