"""Checks the arithmetic in a chain of thought: every `a op b = c` that it writes out.

A calculation has plain numbers before an equals sign: `48/2 = 24`, `<<48/2=24>>`, `$2.50 x 4 = $10`. The result may be rounded
to the decimals shown, and `20%` is 20 or 20/100. Other equations (`x = 5`, `half of 10 = 5`) are not checked, nor those whose
left side may be incomplete (`10 points + 14 = 24`). Patterns are possessive and sides are bounded, so the running time is
linear.
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
# A number at the end of a line is a result, whatever the next line starts with. One that goes on is none: `4 * 6`, `3^2`.
_MORE = r"[+*/x×÷]|-(?![^\S\n]+[A-Za-z]{2})|[0-9]|\.[0-9]|\^|[²³⁰¹⁴-⁹]|!|[kKM]\b|R ?[0-9]"
_MORE += r"|and [0-9]++/[0-9]++(?![^\S\n]*(?:[-+*/x×÷]|\Z))"
_WORDS = "hundred|thousand|million|billion|trillion|dozen|remainder"
_RESULT = re.compile(rf"\s*+\$?\s*+(-?)\s*+\$?\s*+({_NUMBER})(%?+)(?!\(|[^\S\n]*+(?:{_MORE}|(?:{_WORDS})\b))")
_CALCULATION_CHARACTERS = "0123456789.,-+*/x×÷()$% \t\n\r\f\v\u00a0"
_DIGITS = frozenset("0123456789")
_OPERATORS = frozenset("-+*/x×÷")
_SPELLINGS = {r"\times": "×", r"\cdot": "*", r"\div": "÷", r"\$": "$", r"\%": "%", "·": "*", "⋅": "*", "−": "-", "–": "-"}
_PREFIX = re.compile(r"(?:[\w^}\]!]|[0-9]:|(?:[\^•√]|\b(?:of|times|twice|half|double|plus|minus|X))\s*)\Z")
_SHOWN = re.compile(rf"[$(]*+-?\$?{_NUMBER}%?+")
_PERCENT = re.compile(rf"({_NUMBER})%")
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
    """The two sides of each calculation: the expression before an equals sign, and what is after it.

    That is a number, with its `%` if any, or an expression that ends at the next equals sign.
    """
    for written, plain in _SPELLINGS.items():
        text = text.replace(written, plain)
    before, *parts = text.split("=")
    for number, after in enumerate(parts, 1):
        left = _left_side(before)
        result = _RESULT.match(after) if left else None
        if result:
            yield left, result[1] + result[2] + result[3]
        elif left and number < len(parts) and (right := _left_side(after)) and right == "".join(after.split()):
            yield left, right
        before = after[result.end() :] if result else after


def _left_side(text: str) -> str:
    """The calculation at the end of the text; "" if there is none, or if it may begin further left, as in `10 points + 2`.

    Read from right to left, because only its end is certain.
    """
    if _DIGITS.isdisjoint(text) or _OPERATORS.isdisjoint(text) and "(" not in text:  # faster
        return ""
    start, window = len(text.rstrip(_CALCULATION_CHARACTERS)), len(text) - 4 * MAX_SIDE  # thousands of matches are slow
    tokens = list(_TOKEN.finditer(text, max(start, window)))
    left: list[str] = []  # reversed
    depth, operators, wants_operand = 0, 0, True
    at = len(tokens)
    while at:
        if len(left) > MAX_SIDE:
            return ""
        token, end = tokens[at - 1][0], tokens[at - 1].end()
        adjacent = at < len(tokens) and tokens[at].start() == end
        if token in _OPERATORS and _is_bullet(text, tokens[at - 1]):
            break
        if _is_number(token) and wants_operand or token == "$" and not wants_operand:
            wants_operand = False
        elif token in ")%" and wants_operand:
            depth += token == ")"
        elif token == "(" and not wants_operand and depth:
            depth -= 1
        elif token in _OPERATORS and (not wants_operand or left[-1:] == ["-"]):
            if wants_operand and token == "x" and (adjacent or tokens[at - 1].start() == tokens[at - 2].end()):
                return ""  # `3x-5` and `3x - 5` are algebra
            operators, wants_operand = operators + 1, True
        elif (_is_number(token) or token == ")") and left[-1:] == ["("] and adjacent:  # a product such as 4(7)
            left.append("*")
            operators, wants_operand = operators + 1, True
            continue
        else:
            break
        left.append(token)
        at -= 1
    if depth or not left or at == 0 and start < window:
        return ""
    is_sign = tokens[at][0] == "-" and not text[tokens[at].end()].isspace()  # as in `is -3 + 5`
    if wants_operand and not is_sign or _continues(text, tokens, at):
        return ""
    operators -= wants_operand
    return "".join(reversed(left)) if operators else ""


def _is_bullet(text: str, token: re.Match) -> bool:
    """Whether an operator before the calculation is a list's bullet, or the end of a word such as `box`."""
    line = text[: token.start()].rpartition("\n")[2]
    return token[0] in "-+*" and not line.strip() and text[token.end()].isspace() or token[0] == "x" and line[-1:].isalpha()


def _continues(text: str, tokens: list[re.Match], first: int) -> bool:
    """Whether the first operand may be part of something further left: `10^3`, `half of 10`, `6:00`, `1 1/2`, `2 (5 + 3)`."""
    start = tokens[first].start()
    if first == 0:
        return _PREFIX.search(text[max(start - 20, 0) : start]) is not None
    before, between = tokens[first - 1], text[tokens[first - 1].end() : start]
    if "\n" in between or not (_is_number(before[0]) or before[0] == ")"):
        return False
    own = [token[0] for token in tokens[first : first + 3]]
    mixed = own[1:2] == ["/"] and _is_number(before[0])
    return mixed or own[0] == "(" or before[0] != ")" and len(own[0].partition(".")[0]) == 3  # `1 000`


def _is_number(token: str) -> bool:
    return token[-1] in _DIGITS and (token[0] in _DIGITS or token[0] == ".")


def _holds(left: str, right: str) -> bool | None:
    """Whether both sides are equal, `N%` being N or N/100; None if they cannot be evaluated.

    A right side that is an expression may also equal the left one by its first number: `5 + 3 = 8 * 2 = 16`.
    """
    number = _SHOWN.match(right)
    if number is None or max(len(left), len(right)) > MAX_SIDE:
        return None
    try:
        exact = _values(left)
        if number[0] != right and set(exact) & set(_values(right)):
            return True
    except (UnsupportedError, TooLargeError, ZeroDivisionError):
        return None
    shown = number[0].lstrip("(").translate(_PLAIN)
    decimals = len(shown.partition(".")[2])
    shifts = (0, 2) if number[0].endswith("%") else (0,)
    return any(_is_rounded(side, Fraction(shown) / 10**shift, decimals + shift) for side in exact for shift in shifts)


def _values(side: str) -> list[Fraction]:
    """The values of an expression, with `N%` as N and as N/100."""
    return [value(parse(text.translate(_PLAIN))) for text in {side.replace("%", ""), _PERCENT.sub(r"(\1/100)", side)}]


def _is_rounded(exact: Fraction, shown: Fraction, decimals: int) -> bool:
    """Ties are rounded away from zero: 7.5 is 8, not 7, or one expression would equal two numbers."""
    half = Fraction(1, 2 * 10**decimals)
    off = abs(exact - shown)
    return off < half or off == half and abs(shown) > abs(exact) if exact.denominator > 1 else exact == shown
