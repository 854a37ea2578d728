"""Compares two final answers.

Nearly all comparisons are decided here, by structure and exact arithmetic, in well under a millisecond and within fixed
bounds. The rest (an integral, an operator that our parser does not know) needs math-verify in a worker process (pool.py).
"""

import functools
import re

import mpmath

from rewards import arithmetic, words
from rewards.answers import parse_answer
from rewards.arithmetic import TooLargeError
from rewards.cleaning import MAX_LENGTH, clean
from rewards.kinds import Answer
from rewards.parsing import UnsupportedError, parse, variables
from rewards.relations import RELATION
from rewards.units import NOT_UNITS

_AFTER_COMMA = re.compile(r"(?<=[0-9],)\s+(?=[0-9]{3})")
_MISREAD = re.compile(r"\\(?:approx|gcd|lcm)(?![a-z])")  # by math-verify
_parse_answer = functools.lru_cache(maxsize=2048)(parse_answer)  # completions of a group share their gold answer


def readable(gold: str) -> bool:
    """Whether a gold answer can be compared to anything."""
    try:
        _parse_answer(gold)
    except (UnsupportedError, TooLargeError):
        return False
    return True


def compare(predicted: str, gold: str) -> str | None:
    """The outcome: `correct`, `wrong` or `timeout` (beyond the bounds of exact arithmetic).

    None if only a computer algebra system can decide: neither side parses as an expression, and their structures differ.
    """
    if len(predicted) > MAX_LENGTH or len(gold) > MAX_LENGTH:
        return "wrong"
    if predicted.strip() == gold.strip():
        return "correct" if readable(gold) else "wrong"
    try:
        a, b = _parse_answer(predicted), _parse_answer(gold)
        both_have_commas = "," in predicted and "," in gold
        if both_have_commas and _without_spaces(predicted) == _without_spaces(gold):  # the list `70,110`, read as a number
            return "correct"
    except UnsupportedError:
        return "wrong"
    except TooLargeError:
        return "timeout"
    try:
        if _equal(a, b):
            return "correct"
    except UnsupportedError:
        return "wrong" if _has_text(predicted) or _has_text(gold) else None
    except TooLargeError:
        return "timeout"
    return None if _has_unknown_latex(a, predicted) and _has_unknown_latex(b, gold) else "wrong"


def _without_spaces(text: str) -> str:
    """Cleaned text without spaces between the numbers of a list."""
    return _AFTER_COMMA.sub("", clean(text))


def ask_math_verify(predicted: str, gold: str) -> bool:
    """math-verify's verdict. Call it only in a worker: it has no time limit.

    Both directions must agree, because math-verify is not symmetric. Only its LaTeX parser is used: its parser for plain
    expressions evaluates Python.
    """
    from math_verify import LatexExtractionConfig, parse, verify

    latex = [LatexExtractionConfig()]
    a, b = (
        parse(f"${clean(text)}$", extraction_config=latex, parsing_timeout=None, raise_on_error=True)
        for text in (predicted, gold)
    )
    both = ((a, b), (b, a))
    return bool(a and b) and all(verify(*pair, timeout_seconds=None, raise_on_error=True) for pair in both)


def _has_unknown_latex(answer: Answer, text: str) -> bool:
    """Whether an answer was read as words although it is a formula with a LaTeX command that math-verify may know.

    Of a chain, math-verify reads only the last side, and it takes the greatest common divisor of two variables as 1.
    """
    if answer.kind != "words" or _has_text(text):
        return False
    cleaned = clean(text)
    return "\\" in cleaned and len(RELATION.findall(cleaned)) < 2 and not _MISREAD.search(cleaned)


def _has_text(text: str) -> bool:
    """Whether an answer contains words, which math-verify would ignore."""
    cleaned = clean(text)
    return '"' in cleaned or not NOT_UNITS.isdisjoint(cleaned.lower().split())


def _equal(a: Answer, b: Answer) -> bool:
    """Whether two answers are equal.

    Raises:
        UnsupportedError, TooLargeError: when a value in them cannot be evaluated.
    """
    kinds = {a.kind, b.kind}
    if kinds == {"assignment"} and a.extra != b.extra:
        return _is_equation(a) and _is_equation(b) and _proportional(_as_equation(a), _as_equation(b))
    if kinds == {"assignment", "equation"}:
        return _proportional(*(side if side.kind == "equation" else _as_equation(side) for side in (a, b)))
    if "system" in kinds:
        return _equal_systems(a, b) if a.kind == "system" else _equal_systems(b, a)
    if "assignment" in kinds:
        return _equal(*(side.parts[0] if side.kind == "assignment" else side for side in (a, b)))
    if kinds & words.KINDS:
        return words.equal_words(a, b)
    if kinds <= {"list", "set"} or kinds == {"union"}:
        return (a.extra == b.extra or not (a.extra and b.extra)) and _equal_unordered(a.parts, b.parts)
    if a.kind != b.kind:
        return False
    if a.kind == "value":
        return a.parts == b.parts or arithmetic.equal_trees(a.parts[0], b.parts[0]) or _rounds(a, b) or _rounds(b, a)
    if a.kind in ("tuple", "matrix"):
        same_shape = a.extra == b.extra and len(a.parts) == len(b.parts)
        return same_shape and all(_equal(x, y) for x, y in zip(a.parts, b.parts, strict=True))
    return a.extra == b.extra and _proportional(a, b)


def _equal_unordered(a: tuple[Answer, ...], b: tuple[Answer, ...]) -> bool:
    """Whether two collections hold equal answers with equal multiplicity, in any order."""
    if len(a) != len(b) or len(a) > 40:
        return False
    unmatched = list(b)
    for item in a:
        match = next((i for i, other in enumerate(unmatched) if _equal(item, other)), None)
        if match is None:
            return False
        del unmatched[match]
    return True


def _equal_systems(system: Answer, other: Answer) -> bool:
    """Whether a system equals another one with the same names, or a tuple or list of its values in order.

    As a tuple, values follow the names' order if they were written as a tuple, or else if that order is alphabetical, the only
    one that is not in doubt. Values of x, y and z are sorted by name.
    """
    names = system.extra.lstrip("(").split("|")
    if other.kind == "system":
        others = dict(zip(other.extra.lstrip("(").split("|"), other.parts, strict=True))
        return others.keys() == set(names) and all(
            _equal(part, others[name]) for name, part in zip(names, system.parts, strict=True)
        )
    if (other.kind, other.extra) not in (("tuple", "()"), ("list", "")) or len(other.parts) != len(names):
        return False
    ordered = system.parts
    if other.kind == "tuple" and system.extra[0] != "(" and names != sorted(names):
        if not set(names) <= set("xyz"):
            return False
        ordered = tuple(part for _, part in sorted(zip(names, ordered, strict=True), key=lambda pair: pair[0]))
    return all(_equal(part, value) for part, value in zip(ordered, other.parts, strict=True))


def _rounds(exact: Answer, decimal: Answer) -> bool:
    """Whether a number that is not a decimal itself rounds to a long decimal."""
    tree, places = exact.parts[0], decimal.extra
    long = places and not exact.extra and tree[0] != "number"
    return bool(long) and arithmetic.rounds_to(tree, decimal.parts[0], int(places))


def _is_equation(assignment: Answer) -> bool:
    """Whether an assignment gives a variable in terms of others, as `y = 2x`."""
    [answer] = assignment.parts
    return len(assignment.extra) == 1 and answer.kind == "value" and bool(variables(answer.parts[0]))


def _as_equation(assignment: Answer) -> Answer:
    variable = parse(assignment.extra)
    if assignment.parts[0].kind != "value":
        raise UnsupportedError("an assignment of several values")
    return Answer("equation", (("-", variable, assignment.parts[0].parts[0]),))


def _proportional(a: Answer, b: Answer) -> bool:
    """Whether `left - right` of a is a nonzero constant (for `<` and `<=` a positive one) times that of b."""
    ratios = []

    def ratio(point: int) -> arithmetic.Number:
        first, second = (arithmetic.value(answer.parts[0], point) for answer in (a, b))
        if type(first) is not type(second):
            first, second = arithmetic.inexact(first), arithmetic.inexact(second)
        ratios.append(first / second)
        return ratios[-1]

    constant = arithmetic.equal_at_points(ratio, lambda _: ratios[0], 4)
    return constant and ratios[0] != 0 and (a.extra in ("", "!=") or mpmath.re(ratios[0]) > 0)
