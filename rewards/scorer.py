"""The scorer: what the verifier says of one completion. Training rewards and evaluation both come from here."""

import itertools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rewards import pool
from rewards.equality import settle
from rewards.extraction import extract, has_box
from rewards.steps import true_steps

OUTCOMES = ("correct", "wrong", "unparseable", "timeout", "error")
LOGGED = 20  # errors of a process that are logged; all of them are counted
_log, _errors = logging.getLogger(__name__), itertools.count()


@dataclass(frozen=True)
class Verdict:
    """What the scorer saw.

    Attributes:
        outcome: one of OUTCOMES.
        strict_outcome: the same where only the style's own mark counts; `unparseable` where it is missing.
        extracted: the final answer found, None if there is none.
        form: `short` (the answer alone), `long` (steps before it) or `other` (neither; only where the task tells them apart).
        chain: whether the text is the whole long form, letter for letter, or, in GSM8K's style, calculates and is right all the
            way to a right answer; None where the task has no chain that can be checked.
        ms: milliseconds that the verdict took, waiting for a worker not counted.
    """

    outcome: str
    strict_outcome: str
    extracted: str | None
    form: str
    chain: bool | None
    ms: float


@dataclass(frozen=True)
class Item:
    """A completion to judge: its text, the gold answer, the row's meta, and whether the token limit ended it."""

    text: str
    answer: str
    meta: dict
    truncated: bool = False


def score(items: Sequence[Item], verifiers: pool.VerifierPool | None = None) -> list[Verdict]:
    """Judges completions, in order. Those that need a computer algebra system go to the pool together.

    An answer at the very end of a truncated text may be cut itself (`#### 4` of `#### 42`), so it does not count. An
    exception while judging a completion is logged, and is the outcome `error` of that completion alone.
    """
    verdicts = [_guarded(_judge, item) for item in items]
    open_places = [place for place, verdict in enumerate(verdicts) if verdict.outcome is None]
    if open_places:
        pairs = [(verdicts[place].extracted, items[place].answer) for place in open_places]
        judged = (verifiers or pool.shared()).judge(pairs)
        for place, (outcome, ms) in zip(open_places, judged, strict=True):
            verdict = verdicts[place]
            strict = outcome if verdict.strict_outcome is None else verdict.strict_outcome
            settled = replace(verdict, outcome=outcome, strict_outcome=strict, ms=verdict.ms + ms)
            verdicts[place] = _guarded(_with_chain, items[place], settled)
    return verdicts


def _guarded(judge: Callable[..., Verdict], item: Item, *rest) -> Verdict:
    """What `judge` says of the item; the outcome `error`, logged, where it raises: no text may end a run."""
    try:
        return judge(item, *rest)
    except Exception as error:
        if next(_errors) < LOGGED:
            _log.warning("cannot judge a completion (%s: %s): %.200r", type(error).__name__, error, item.text)
        return Verdict("error", "error", None, "other", None, 0.0)


def _judge(item: Item) -> Verdict:
    """The verdict as far as it goes without the pool; its outcome is None where that must be asked."""
    began = time.perf_counter()
    extracted, own_mark = extract(item.text, item.meta["style"])
    if item.truncated and extracted and ("long" in item.meta or item.text.rstrip().endswith(extracted)):
        extracted = None
    outcome = _settle(extracted, item)
    strict = outcome if own_mark else "unparseable"
    verdict = _with_chain(item, Verdict(outcome, strict, extracted, find_form(item.text, item.meta), None, 0.0))
    return replace(verdict, ms=1000 * (time.perf_counter() - began))


def _settle(extracted: str | None, item: Item) -> str | None:
    """The outcome, or None where the pool must be asked."""
    if extracted is None:
        return "unparseable"
    if "long" in item.meta:
        return "correct" if extracted == item.answer else "wrong"
    return settle(extracted, item.answer)


def _with_chain(item: Item, verdict: Verdict) -> Verdict:
    """The verdict with what can be said of the chain, once the outcome is known."""
    if "long" in item.meta:
        return replace(verdict, chain=item.text.strip() == item.meta["long"])
    if item.meta["style"] != "gsm8k":
        return verdict
    if verdict.outcome != "correct":
        return replace(verdict, chain=False)
    true, total = true_steps(item.text)
    return replace(verdict, chain=0 < total == true)


def find_form(text: str, meta: dict) -> str:
    """`short`, `long` or `other` (see Verdict). A truncated text with steps and no answer is `long`."""
    text = text.strip()
    if "long" in meta:
        short = 1 if meta["style"] == "parity" else len(meta["long"].rsplit("=", 1)[-1])
        return {short: "short", len(meta["long"]): "long"}.get(len(text), "other")
    if meta["style"] == "gsm8k":
        return "short" if text.startswith("####") or text == "" else "long"
    before = text.rsplit("\\boxed", 1)[0] if has_box(text) else text
    return "short" if before.strip() in ("", "$", "The final answer is $") else "long"
