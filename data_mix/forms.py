"""Writes a problem as a completion, in a form and an answer style.

Forms: `short` is the answer only; `long` is all steps, then the answer; `partial-k` is every k-th step and always the last
one, then the answer (leap-k in arXiv 2510.11495).

The answer style determines how steps and answer are written. The verifier parses the same style:
    parity          steps are single digits, concatenated; the last step is the answer and is not repeated: `0110`
    multiplication  steps joined by `;`; the answer is the number at the end of the last step, digits reversed: `840;0630=8040`
    gsm8k           one step per line, then `#### 42`
    boxed           one step per line, then `The final answer is $\\boxed{42}$.`
Word problems use gsm8k or boxed; a mixture may choose between the two.
"""

import re

from data_mix.errors import InputError

ANSWER_STYLES = ("gsm8k", "boxed")
_PARTIAL = re.compile(r"partial-([1-9]\d*)")


def check_form(form: str) -> None:
    """Raises InputError unless `form` is short, long or partial-k with k >= 1."""
    if form not in ("short", "long") and not _PARTIAL.fullmatch(str(form)):
        raise InputError(f"forms: '{form}' is unknown; use short, long or partial-k (k = 1, 2, 3, ...)")


def choose_steps(steps: tuple[str, ...], form: str) -> tuple[str, ...]:
    """The steps included in `form`, in order."""
    if form == "short":
        return ()
    if form == "long":
        return steps
    k = int(_PARTIAL.fullmatch(form).group(1))
    every_kth = steps[k - 1 :: k]
    return every_kth if len(steps) % k == 0 else (*every_kth, steps[-1])


def write_completion(steps: tuple[str, ...], answer: str, style: str, form: str) -> str:
    """The completion: the steps included in `form`, then the answer, in answer style `style`."""
    chosen = choose_steps(steps, form)
    if style == "parity":
        return "".join(chosen) or answer
    if style == "multiplication":
        return ";".join(chosen) or steps[-1].rsplit("=", 1)[-1]
    last = f"#### {answer}" if style == "gsm8k" else f"The final answer is $\\boxed{{{answer}}}$."
    return "\n".join((*chosen, last))
