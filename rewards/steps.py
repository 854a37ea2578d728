"""The arithmetic in a chain of thought: every `a op b = c` that it writes out, and whether each is true.

A step is a calculation of plain numbers before an equals sign: `48/2 = 24`, `<<48/2=24>>`, `$2.50 x 4 = $10`. A result may be
rounded to the decimals that it shows. What is not a calculation (`x = 5`, `half of 10 = 5`) is not judged. Every
pattern is possessive, so that no text takes longer than its length.
"""

import re
from collections.abc import Iterator
from fractions import Fraction

from rewards import expression
from rewards.expression import TooLargeError, UnknownError

LONGEST = 20_000  # characters of the text; the rest is not read
MOST = 200  # calculations that are judged; every further one counts as false
SIDE = 400  # characters of a side that is judged

_NUMBER = r"(?:[0-9]++(?:,[0-9]{3})*+(?:\.[0-9]++)?+|\.[0-9]++)"
_TOKEN = re.compile(rf"{_NUMBER}|[-+*/x×÷()$%]|\S")
# A number at the end of its line is a result, whatever the next line begins with.
_RESULT = re.compile(rf"\s*+\$?\s*+(-?)\s*+\$?\s*+({_NUMBER})(?![^\S\n]*+(?:[-+*/x×÷(0-9]|\.[0-9]))")
_CHARACTERS = "0123456789.,-+*/x×÷()$% \t\n\r\f\v\u00a0"  # of a calculation
_DIGITS = frozenset("0123456789")
_OPERATORS = frozenset("-+*/x×÷")
_PLAIN = str.maketrans({"$": "", ",": "", "%": "", "x": "*", "×": "*", "÷": "/"})


def true_steps(text: str) -> tuple[int, int]:
    """How many of the text's calculations are true, and how many there are."""
    true = total = 0
    for left, right in _calculations(text[:LONGEST]):
        holds = _holds(left, right) if total < MOST else False
        if holds is not None:
            total += 1
            true += holds
    return true, total


def _calculations(text: str) -> Iterator[tuple[str, str]]:
    """The two sides of each calculation: what stands before an equals sign, and the number after it."""
    before, *parts = text.split("=")
    for after in parts:
        left = _left_side(before)
        result = _RESULT.match(after) if left else None
        if result:
            yield left, result[1] + result[2]
        before = after[result.end() :] if result else after


def _left_side(text: str) -> str:
    """The calculation that the text ends in: numbers with operators between them, signs and brackets around; or nothing."""
    tokens = _TOKEN.findall(text, len(text.rstrip(_CHARACTERS)))
    left: list[str] = []
    operators, wants_number = 0, True
    for token in tokens:
        if _is_number(token):
            if not wants_number:  # two numbers side by side: the calculation begins with the second
                left, operators = [], 0
            wants_number = False
        elif token in ")%" and not wants_number:
            pass
        elif token in _OPERATORS and not wants_number:
            operators, wants_number = operators + 1, True
        elif token in "-($":
            if not wants_number or left[-1:] == ["x"] and token == "-":  # `3x-5` is algebra
                left, operators, wants_number = [], 0, True
        else:
            left, operators, wants_number = [], 0, True
            continue
        left.append(token)
    return "".join(left) if operators and not wants_number else ""


def _is_number(token: str) -> bool:
    return token[-1] in _DIGITS and (token[0] in _DIGITS or token[0] == ".")


def _holds(left: str, right: str) -> bool | None:
    if max(len(left), len(right)) > SIDE:
        return None
    try:
        value = expression.value(expression.parse(left.translate(_PLAIN)))
    except (UnknownError, TooLargeError, ZeroDivisionError):
        return None
    right = right.translate(_PLAIN)
    shown = Fraction(right)
    decimals = len(right.partition(".")[2])
    return abs(value - shown) <= Fraction(1, 2 * 10**decimals) if value.denominator > 1 else value == shown
