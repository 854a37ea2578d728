"""Length accounting: accuracy and length of scored completions, by form and by outcome."""

import statistics
from collections import Counter
from collections.abc import Sequence

from rewards.scorer import Verdict


def account(verdicts: Sequence[Verdict], lengths: Sequence[int], truncated: Sequence[bool]) -> dict[str, float]:
    """Metrics over completions; those without any completions are omitted.

    Args:
        verdicts: one per completion.
        lengths: completion tokens, without the end token.
        truncated: whether each completion hit the token limit.

    Returns:
        accuracy, p_long, truncated, length/mean, length/median and, where they occur, accuracy_{form} (not for `other`),
        length/{outcome}, length/{form} and outcome/{outcome} (share of completions).
    """
    n = len(verdicts)
    lengths_by = {}
    for verdict, length in zip(verdicts, lengths, strict=True):
        lengths_by.setdefault(verdict.outcome, []).append(length)
        lengths_by.setdefault(verdict.form, []).append(length)
    metrics = {
        "accuracy": sum(v.outcome == "correct" for v in verdicts) / n,
        "p_long": sum(v.form == "long" for v in verdicts) / n,
        "truncated": sum(truncated) / n,
        "length/mean": statistics.fmean(lengths),
        "length/median": statistics.median(lengths),
    }
    for form in sorted({v.form for v in verdicts} - {"other"}):
        metrics[f"accuracy_{form}"] = statistics.fmean(v.outcome == "correct" for v in verdicts if v.form == form)
    metrics |= {f"length/{name}": statistics.fmean(values) for name, values in lengths_by.items()}
    metrics |= {f"outcome/{name}": count / n for name, count in Counter(v.outcome for v in verdicts).items()}
    return metrics
