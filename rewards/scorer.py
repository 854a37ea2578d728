"""Scores completions against gold answers, for training rewards and evaluation alike."""

import itertools
import logging
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rewards import pool
from rewards.boxed import has_box
from rewards.equality import compare
from rewards.extraction import extract
from rewards.steps import true_steps

OUTCOMES = ("correct", "wrong", "unparseable", "timeout", "error")
MAX_LOGGED = 20  # errors logged per process; further ones are only counted
_log, _errors = logging.getLogger(__name__), itertools.count()


@dataclass(frozen=True)
class Verdict:
    """The result for one completion.

    Attributes:
        outcome: one of OUTCOMES.
        strict_outcome: the outcome if only the style's own marker counts; `unparseable` without it.
        extracted: the final answer, or None.
        form: `short` (answer only), `long` (steps before it) or `other` (neither; only for tasks with a known long form). In a
            mixture with own forms, the name of one of them, or `other` if all have markers and the text has none.
        chain: whether the text equals the long form exactly; in GSM8K's style, whether the answer is correct and the text has
            at least one calculation and no false one. None if the task has no chain to check.
        ms: time taken in milliseconds, without waiting for a free worker.
    """

    outcome: str
    strict_outcome: str
    extracted: str | None
    form: str
    chain: bool | None
    ms: float


@dataclass(frozen=True)
class Item:
    """A completion to score: its text, the gold answer, the row's meta, and whether it hit the token limit."""

    text: str
    answer: str
    meta: dict
    truncated: bool = False


def score(items: Sequence[Item], verifiers: pool.VerifierPool | None = None) -> list[Verdict]:
    """Scores completions, in order. Those that need a computer algebra system go to the pool in one batch.

    An answer at the very end of a truncated text does not count, because it may be cut, too (`#### 4` of `#### 42`). An
    exception is logged and gives that completion the outcome `error`; the others are unaffected.
    """
    verdicts = [_guarded(_judge, item) for item in items]
    undecided = [i for i, verdict in enumerate(verdicts) if verdict.outcome is None]
    if undecided:
        pairs = [(verdicts[i].extracted, items[i].answer) for i in undecided]
        judged = (verifiers or pool.shared()).judge(pairs)
        for i, (outcome, ms) in zip(undecided, judged, strict=True):
            verdict = verdicts[i]
            strict = outcome if verdict.strict_outcome is None else verdict.strict_outcome
            decided = replace(verdict, outcome=outcome, strict_outcome=strict, ms=verdict.ms + ms)
            verdicts[i] = _guarded(_with_chain, items[i], decided)
    return verdicts


def _guarded(judge: Callable[..., Verdict], item: Item, *rest) -> Verdict:
    """The verdict of `judge`; if it raises, a logged `error`, because no completion may stop a run."""
    try:
        return judge(item, *rest)
    except Exception as error:
        if next(_errors) < MAX_LOGGED:
            _log.warning("cannot score a completion (%s: %s): %.200r", type(error).__name__, error, item.text)
        return Verdict("error", "error", None, "other", None, 0.0)


def _judge(item: Item) -> Verdict:
    """The verdict without the pool; its outcome is None if the pool must decide."""
    start = time.perf_counter()
    extracted, own_marker = extract(item.text, item.meta["style"])
    if item.truncated and extracted and ("long" in item.meta or _is_at_end(extracted, item.text)):
        extracted = None
    outcome = _compare(extracted, item)
    strict = outcome if own_marker else "unparseable"
    verdict = _with_chain(item, Verdict(outcome, strict, extracted, find_form(item.text, item.meta), None, 0.0))
    return replace(verdict, ms=1000 * (time.perf_counter() - start))


def _is_at_end(extracted: str, text: str) -> bool:
    """Whether nothing but punctuation follows the answer: `4.` may have been `4.5`."""
    return text.rstrip().rstrip(".! \n").rstrip().endswith(extracted.rstrip(" .!"))


def _compare(extracted: str | None, item: Item) -> str | None:
    """The outcome, or None if the pool must decide."""
    if extracted is None:
        return "unparseable"
    if "long" in item.meta:
        return "correct" if extracted == item.answer else "wrong"
    return compare(extracted, item.answer)


def _with_chain(item: Item, verdict: Verdict) -> Verdict:
    """Adds `chain`. In GSM8K's style it is False until the outcome is known."""
    if "long" in item.meta:
        return replace(verdict, chain=item.text.strip() == item.meta["long"])
    if item.meta["style"] != "gsm8k":
        return verdict
    if verdict.outcome != "correct":
        return replace(verdict, chain=False)
    true, total = true_steps(item.text)
    return replace(verdict, chain=0 < total == true)


def find_form(text: str, meta: dict) -> str:
    """`short`, `long`, `other` or an own form (see Verdict). Steps without an answer, as in a truncated text, are `long`."""
    text = text.strip()
    if "forms" in meta:
        return _find_own_form(text, **meta["forms"])
    if "long" in meta:
        short = 1 if meta["style"] == "parity" else len(meta["long"].rsplit("=", 1)[-1])
        return {short: "short", len(meta["long"]): "long"}.get(len(text), "other")
    if meta["style"] == "gsm8k":
        return "short" if text.startswith("####") or text == "" else "long"
    before = text.rsplit("\\boxed", 1)[0] if has_box(text) else text
    return "short" if before.strip() in ("", "$", "The final answer is $") else "long"


def _find_own_form(text: str, markers: dict[str, str], by_length: list[str], up_to: list[int]) -> str:
    """The form whose marker the text has (the longest marker, if several), otherwise the form by length in characters."""
    marked = [form for form in markers if markers[form] in text]
    if marked or not by_length:
        return max(marked, key=lambda form: len(markers[form]), default="other")
    return by_length[bisect_left(up_to, len(text))]
