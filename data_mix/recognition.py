"""Finds the rule by which the form of a generated completion is recognised when the forms are user-defined.

A form with a `marker` is recognised by it. The others are told apart by length in characters: they are ordered by their median
length, and the threshold between two neighbours is the one that separates their training texts best. Every row's `meta` holds
the rule, so that a completion can be scored from its row alone; rewards/scorer.py applies it.
"""

import json
import statistics

import numpy as np

from data_mix.errors import InputError
from data_mix.own_forms import OwnForm
from data_mix.problem import ProblemPool

SAMPLE = 2_000  # training problems whose texts determine the thresholds


def fit(train: ProblemPool, test: ProblemPool, forms: dict[str, OwnForm], style: str | None) -> tuple[dict, dict]:
    """The rule, and a report of it for the manifest.

    The report's `error` is the share of the test problems' texts in each form that the rule takes for another form.

    Raises:
        InputError: when a marker occurs in no text of its form.
    """
    from rewards.scorer import find_form

    texts = _texts(train, forms, style)
    markers = {name: form.marker for name, form in forms.items() if form.marker}
    for name, marker in markers.items():
        if not any(marker in text for text in texts[name]):
            raise InputError(
                f"forms.{name}.marker is {marker!r}, which no text of that form contains; correct it, or remove it"
            )
    lengths = {name: np.array([len(text) for text in texts[name]]) for name in forms if name not in markers}
    by_length = sorted(lengths, key=lambda name: statistics.median(lengths[name]))
    up_to: list[int] = []
    for shorter, longer in zip(by_length, by_length[1:], strict=False):
        up_to.append(max([*up_to[-1:], threshold(lengths[shorter], lengths[longer])]))
    rule = {"markers": markers, "by_length": by_length, "up_to": up_to}
    held_out = _texts(test, forms, style)
    wrong = {name: [find_form(text, {"forms": rule}) != name for text in found] for name, found in held_out.items() if found}
    error = {name: round(float(np.mean(found)), 6) for name, found in wrong.items()}
    return rule, {**rule, "error": error, "problems": min(len(test), SAMPLE)}


def threshold(shorter: np.ndarray, longer: np.ndarray) -> int:
    """The length up to which a text is of the shorter form: the one with the smallest sum of the two error rates.

    Of equally good ones, the middle of the widest range.
    """
    values = np.unique(np.concatenate([shorter, longer]))
    errors = np.array([np.mean(shorter > value) + np.mean(longer <= value) for value in values])
    widths = np.append(np.diff(values), 1)  # a threshold from one value to just below the next makes no difference
    best = max(np.flatnonzero(errors <= errors.min() + 1e-12), key=lambda i: widths[i])
    return int(values[best] + (widths[best] - 1) // 2)


def add_rule(meta: list[str], rule: dict) -> list[str]:
    """The JSON column `meta` with the rule in every row."""
    return [json.dumps({**json.loads(row), "forms": rule}, sort_keys=True) for row in meta]


def describe(report: dict) -> str:
    """How the form of a completion is recognised, and how often this fails; `report` is from the manifest."""
    signs = [f"{form} contains {marker!r}" for form, marker in report["markers"].items()]
    signs += [f"{form} has up to {limit} characters" for form, limit in zip(report["by_length"], report["up_to"], strict=False)]
    signs += [f"otherwise {form}" for form in report["by_length"][-1:]]
    return f"form of a completion: {'; '.join(signs)}; {describe_error(report)}"


def describe_error(report: dict) -> str:
    """How often the rule takes a held-out gold completion for another form, by form."""
    errors = ", ".join(f"{form} {100 * rate:.1f}%" for form, rate in report["error"].items()) or "not measured"
    return f"wrong for held-out gold completions: {errors} (n = {report['problems']})"


def _texts(pool: ProblemPool, forms: dict[str, OwnForm], style: str | None) -> dict[str, list[str]]:
    """The texts of the problems, or of an evenly spaced sample of them, in each form."""
    n = min(len(pool), SAMPLE)
    indices = [i * len(pool) // n for i in range(n)]
    return {name: pool.columns(indices, name, style)["completion"] for name in forms}
