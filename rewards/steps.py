"""The arithmetic in a chain of thought: every `a op b = c` that it writes out, and whether each is true.

A step is a calculation of plain numbers before an equals sign: `48/2 = 24`, `<<48/2=24>>`, `$2.50 x 4 = $10`. A result may be
rounded to the decimals that it shows. What is not a calculation (`x = 5`, `half of 10 = 5`) is not judged.
"""

import re
from fractions import Fraction

from rewards import expression
from rewards.expression import UnknownError

_NUMBER = r"[0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+"
_TERM = rf"[-(\s$]*(?:{_NUMBER})[\s)%]*"
_STEP = re.compile(rf"((?:{_TERM}[-+*/x×÷])+{_TERM})=\s*\$?\s*(-?\s*\$?(?:{_NUMBER}))(?!\s*[-+*/x×÷(0-9]|\.[0-9])")
LONGEST = 20_000  # characters


def true_steps(text: str) -> tuple[int, int]:
    """How many of the text's calculations are true, and how many there are."""
    true = total = 0
    for left, right in _STEP.findall(text[:LONGEST]):
        holds = _holds(left, right)
        if holds is not None:
            total += 1
            true += holds
    return true, total


def _holds(left: str, right: str) -> bool | None:
    plain = str.maketrans({"$": "", ",": "", "%": "", "x": "*", "×": "*", "÷": "/", " ": ""})
    right = right.translate(plain)
    try:
        value = expression.value(expression.parse(left.translate(plain)))
    except (UnknownError, ZeroDivisionError):
        return None
    shown = Fraction(right)
    decimals = len(right.partition(".")[2])
    return abs(value - shown) <= Fraction(1, 2 * 10**decimals) if value.denominator > 1 else value == shown
