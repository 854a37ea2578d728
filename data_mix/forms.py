"""How a problem is written out as a completion.

Forms: `short` is the answer alone; `long` is all steps, then the answer; `partial-k` is every k-th step, the last step
always, then the answer (the leap-k of arXiv 2510.11495).

Styles say how steps and answer are written, and the verifier reads the same style back:
    parity          steps are single symbols, run together; the last step is the answer and is not written twice: `0110`
    multiplication  steps joined by `;`; the number that the last one ends in is the answer, digits reversed: `840;0630=8040`
    gsm8k           a step a line, then `#### 42`
    boxed           a step a line, then `The final answer is $\\boxed{42}$.`
The last two are for problems in words, and a mixture may choose between them.
"""

import re

from data_mix.errors import InputError

ANSWER_STYLES = ("gsm8k", "boxed")
_PARTIAL = re.compile(r"partial-([1-9]\d*)")


def check_form(form: str) -> None:
    """Raises InputError unless `form` is short, long or partial-k with k >= 1."""
    if form not in ("short", "long") and not _PARTIAL.fullmatch(form):
        raise InputError(f"form '{form}' is unknown; there are short, long and partial-k (k = 1, 2, 3, ...)")


def choose_steps(steps: tuple[str, ...], form: str) -> tuple[str, ...]:
    """The steps that `form` writes out, in order."""
    if form == "short":
        return ()
    if form == "long":
        return steps
    k = int(_PARTIAL.fullmatch(form).group(1))
    every_kth = steps[k - 1 :: k]
    return every_kth if len(steps) % k == 0 else (*every_kth, steps[-1])


def write_completion(steps: tuple[str, ...], answer: str, style: str, form: str) -> str:
    """The completion's text: the steps that `form` writes out, and the answer, in `style`."""
    chosen = choose_steps(steps, form)
    if style == "parity":
        return "".join(chosen) or answer
    if style == "multiplication":
        return ";".join(chosen) or steps[-1].rsplit("=", 1)[-1]
    last = f"#### {answer}" if style == "gsm8k" else f"The final answer is $\\boxed{{{answer}}}$."
    return "\n".join((*chosen, last))
