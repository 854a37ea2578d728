"""Length accounting: accuracy and length of many scored completions, by form and by outcome."""

import statistics
from collections import Counter
from collections.abc import Sequence

from rewards.scorer import Verdict


def account(verdicts: Sequence[Verdict], lengths: Sequence[int], truncated: Sequence[bool]) -> dict[str, float]:
    """Figures over completions; what has no completions to average over is left out.

    Args:
        verdicts: one a completion.
        lengths: tokens of the completion, end token not counted.
        truncated: whether the token limit ended it.

    Returns:
        accuracy, p_long, truncated, length/mean, length/median and, where they occur, accuracy_long, accuracy_short,
        length/{outcome}, length/{form} and outcome/{outcome} (share of completions).
    """
    n = len(verdicts)
    by = {}
    for verdict, length in zip(verdicts, lengths, strict=True):
        by.setdefault(verdict.outcome, []).append(length)
        by.setdefault(verdict.form, []).append(length)
    figures = {
        "accuracy": sum(v.outcome == "correct" for v in verdicts) / n,
        "p_long": sum(v.form == "long" for v in verdicts) / n,
        "truncated": sum(truncated) / n,
        "length/mean": statistics.fmean(lengths),
        "length/median": statistics.median(lengths),
    }
    for form in ("long", "short"):
        of_form = [v.outcome == "correct" for v in verdicts if v.form == form]
        if of_form:
            figures[f"accuracy_{form}"] = sum(of_form) / len(of_form)
    figures |= {f"length/{name}": statistics.fmean(values) for name, values in by.items()}
    figures |= {f"outcome/{o}": count / n for o, count in Counter(v.outcome for v in verdicts).items()}
    return figures
