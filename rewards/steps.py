"""Checks the arithmetic in a chain of thought: every `a op b = c` that it writes out.

A calculation has plain numbers before an equals sign: `48/2 = 24`, `<<48/2=24>>`, `$2.50 x 4 = $10`. The result may be rounded
to the decimals shown. Other equations (`x = 5`, `half of 10 = 5`) are not checked. Every pattern is possessive, so the
running time is linear.
"""

import re
from collections.abc import Iterator
from fractions import Fraction

from rewards.arithmetic import TooLargeError, value
from rewards.parsing import UnsupportedError, parse

MAX_LENGTH = 20_000  # characters of the text; the rest is ignored
MAX_CALCULATIONS = 200  # further ones count as false
MAX_SIDE = 400  # characters of one side; longer calculations are not checked

_NUMBER = r"(?:[0-9]++(?:,[0-9]{3})*+(?:\.[0-9]++)?+|\.[0-9]++)"
_TOKEN = re.compile(rf"{_NUMBER}|[-+*/x×÷()$%]|\S")
# A number at the end of a line is a result, whatever the next line starts with.
_RESULT = re.compile(rf"\s*+\$?\s*+(-?)\s*+\$?\s*+({_NUMBER})(?![^\S\n]*+(?:[-+*/x×÷(0-9]|\.[0-9]))")
_CALCULATION_CHARACTERS = "0123456789.,-+*/x×÷()$% \t\n\r\f\v\u00a0"
_DIGITS = frozenset("0123456789")
_OPERATORS = frozenset("-+*/x×÷")
_PLAIN = str.maketrans({"$": "", ",": "", "%": "", "x": "*", "×": "*", "÷": "/"})


def true_steps(text: str) -> tuple[int, int]:
    """The number of correct calculations in the text, and the number of all calculations."""
    true = total = 0
    for left, right in _calculations(text[:MAX_LENGTH]):
        holds = _holds(left, right) if total < MAX_CALCULATIONS else False
        if holds is not None:
            total += 1
            true += holds
    return true, total


def _calculations(text: str) -> Iterator[tuple[str, str]]:
    """The two sides of each calculation: the expression before an equals sign and the number after it."""
    before, *parts = text.split("=")
    for after in parts:
        left = _left_side(before)
        result = _RESULT.match(after) if left else None
        if result:
            yield left, result[1] + result[2]
        before = after[result.end() :] if result else after


def _left_side(text: str) -> str:
    """The calculation at the end of the text: numbers, operators, signs and brackets; "" if there is none."""
    tokens = _TOKEN.findall(text, len(text.rstrip(_CALCULATION_CHARACTERS)))
    left: list[str] = []
    operators, wants_number = 0, True
    for token in tokens:
        if _is_number(token):
            if not wants_number:  # two adjacent numbers: the calculation starts with the second
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
    """Whether both sides are equal; None if the left side cannot be evaluated."""
    if max(len(left), len(right)) > MAX_SIDE:
        return None
    try:
        exact = value(parse(left.translate(_PLAIN)))
    except (UnsupportedError, TooLargeError, ZeroDivisionError):
        return None
    right = right.translate(_PLAIN)
    shown = Fraction(right)
    decimals = len(right.partition(".")[2])
    return abs(exact - shown) <= Fraction(1, 2 * 10**decimals) if exact.denominator > 1 else exact == shown
