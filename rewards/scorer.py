"""The scorer: what the verifier says of one completion. Training rewards and evaluation both come from here."""

from dataclasses import dataclass

from rewards.equality import equal
from rewards.extraction import extract, find_boxed

OUTCOMES = ("correct", "wrong", "unparseable", "timeout", "error")


@dataclass(frozen=True)
class Verdict:
    """What the scorer saw.

    Attributes:
        outcome: one of OUTCOMES.
        extracted: the final answer found, None if there is none.
        form: `short` (the answer alone), `long` (steps before it) or `other` (neither; only where the task tells them apart).
        chain: whether the text is the whole long form, letter for letter; None where the task has no such form.
    """

    outcome: str
    extracted: str | None
    form: str
    chain: bool | None


def score(text: str, answer: str, meta: dict, truncated: bool) -> Verdict:
    """Judges one completion against its gold `answer`; `meta` names the style and, for synthetic tasks, the long form.

    An answer at the very end of a truncated text may be cut itself (`#### 4` of `#### 42`), so it does not count. An
    exception while comparing is the outcome `error`, never a silent zero.
    """
    extracted = extract(text, meta["style"])
    form = find_form(text, meta)
    chain = text.strip() == meta["long"] if "long" in meta else None
    if extracted is None or (truncated and ("long" in meta or text.rstrip().endswith(extracted))):
        return Verdict("unparseable", None, form, chain)
    try:
        right = extracted == answer if "long" in meta else equal(extracted, answer)
    except TimeoutError:
        return Verdict("timeout", extracted, form, chain)
    except Exception:  # math-verify and sympy raise many kinds; all of them are counted
        return Verdict("error", extracted, form, chain)
    return Verdict("correct" if right else "wrong", extracted, form, chain)


def find_form(text: str, meta: dict) -> str:
    """`short`, `long` or `other` (see Verdict). A truncated text with steps and no answer is `long`."""
    text = text.strip()
    if meta["style"] == "parity":
        return {1: "short", len(meta["long"]): "long"}.get(len(text), "other")
    if meta["style"] == "multiplication":
        short = meta["long"].rsplit("=", 1)[-1]
        return {len(short): "short", len(meta["long"]): "long"}.get(len(text), "other")
    if meta["style"] == "gsm8k":
        return "short" if text.startswith("####") or text == "" else "long"
    before = text.rsplit("\\boxed", 1)[0] if find_boxed(text) is not None else text
    return "short" if before.strip() in ("", "$", "The final answer is $") else "long"
