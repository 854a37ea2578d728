r"""Reads equations, named results, chains of equalities and inequalities.

    named result   `x = 5`, `f(x) = x^2`, `a_n = 2^n`, `(x, y) = (1, 2)`: an assignment, or a system of several names
    chain          `80 + 150 = 230`, `A = \pi r^2 = 9\pi`: its last side, if all sides that are numbers are equal
    inequality     in one variable an interval if it is linear (`-x > -1` is (-\infty, 1)), `x \ne 3` a union of two

Everything else with a relation is an equation, an inequality or, for mixed relations, words.
"""

import re
from collections.abc import Callable
from fractions import Fraction

from rewards.arithmetic import equal_trees, rounds_to
from rewards.brackets import split
from rewards.kinds import Answer
from rewards.parsing import GREEK, UnsupportedError, parse, variables
from rewards.units import NOT_UNITS

RELATION = re.compile(r"(\\leq?(?![a-z])|\\geq?(?![a-z])|\\ne(?![a-z])|\\approx(?![a-z])|(?<=[A-Za-z}\s])!=|<=|>=|[=<>])")

_CANONICAL_SIGNS = {r"\le": "<=", r"\leq": "<=", r"\ge": ">=", r"\geq": ">=", r"\ne": "!="}
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!="}
_ARGUMENT = r"(?:-? ?\w+(?:\.[0-9]+)?|-?\\frac\{ ?\w+ ?\}\{ ?\w+ ?\}|\w\( ?\w+ ?\)|\"[A-Za-z ]+\")"  # of a function
_NAME = re.compile(
    r"(?:[A-Za-z]|\\(?:" + "|".join(GREEK) + r")|\\(?:hat|bar|vec|tilde) ?\{? ?[A-Za-z] ?\}?|[A-Z]{2,4}"
    r"|\\overline ?\{ ?[A-Z] ?[A-Z] ?\}|(?:m ?)?\\angle ?[A-Z]{1,3})"
    r"'*(?:_(?:\{ ?(?:\\?[\w+-]+|\"[A-Za-z ]+\") ?\}|\\?\w+))?(?:\^\{? ?(?:\*|\\max|\\min) ?\}?)?"
    r"(?:\^\{ ?-1 ?\}(?= ?\())?"
    rf"(?: ?\( ?{_ARGUMENT} ?(?:, ?{_ARGUMENT} ?)*\))?"
)
_SUM = re.compile(r"_\{[^}]*[+-]")
_NAMES = re.compile(r"\(([^(),]+(?:\(\w+\) ?)?(?:,[^(),]+(?:\(\w+\) ?)?)+)\)")
_TEXT_NAME = re.compile(r'"([A-Za-z ]+)"|([A-Za-z]{3,})')
_APPROXIMATE = re.compile(r"[-+]?[0-9]*\.[0-9]+")
_DECIMALS = re.compile(r"\.([0-9]+)")
_INFINITY = ("name", "infty")

Read = Callable[[str], Answer]


def read_relation(text: str, read: Read) -> Answer:
    """The answer that a text with a relation denotes; `read` reads its sides.

    Raises:
        UnsupportedError: for mixed relations, unequal sides and everything else that is none of the above.
    """
    pieces = [piece.strip() for piece in RELATION.split(text)]
    sides, signs = pieces[::2], [_CANONICAL_SIGNS.get(sign, sign) for sign in pieces[1::2]]
    if set(signs) == {"="}:
        return _equation(sides, read)
    if signs[-1] == r"\approx" and set(signs[:-1]) == {"="}:  # `x = 2\sqrt{2} \approx 2.83`
        _approximation(sides[-2], sides[-1], read)
        return _equation(sides[:-1], read)
    if len(signs) == 1:
        return _approximation(*sides, read) if signs[0] == r"\approx" else _inequality(sides[0], signs[0], sides[1], read)
    if len(signs) > 2 or signs[0][0] != signs[1][0] or signs[0][0] not in "<>" or not _is_variable(sides[1]):
        raise UnsupportedError("a mixed relation")
    if signs[0][0] == ">":
        sides, signs = sides[::-1], [_FLIPPED[sign] for sign in signs[::-1]]
    brackets = ("[" if signs[0] == "<=" else "(") + ("]" if signs[1] == "<=" else ")")
    return Answer("tuple", (_value(sides[0], read), _value(sides[2], read)), brackets)


def read_name(text: str) -> str:
    r"""The name that a text consists of, in one spelling (`I_{\max }` is `I_max`); "" for anything else."""
    if _NAME.fullmatch(text) and text not in ("i",):
        return re.sub(r"[\s\\]" if _SUM.search(text) else r"[\s{}\\]", "", text)  # `a_{n+1}` is not `a_n + 1`
    words = _TEXT_NAME.fullmatch(text)
    if words and not NOT_UNITS.intersection(text.strip('"').lower().split()):
        return f'"{(words[1] or words[2]).lower()}"'
    return ""


def _is_variable(text: str) -> bool:
    """Whether a text is a name without a value in brackets: `g(x)` but not `f(1)`."""
    return bool(read_name(text)) and not re.search(r"\([^)]*[0-9]", text)


def _approximation(left: str, right: str, read: Read) -> Answer:
    r"""`x \approx 8.24`, or `2\sqrt{2} \approx 2.83`: its left side. Before a whole number it is unclear what was rounded."""
    bound = read(right)
    if not _APPROXIMATE.match(right) or bound.kind != "value" or bound.parts[0][0] not in ("number", "neg"):
        raise UnsupportedError("an approximation")
    name = read_name(left)
    if left and not name:
        exact = _value(left, read)
        if not rounds_to(_tree(left, read), bound.parts[0], len(_DECIMALS.search(right)[1])):
            raise UnsupportedError("not the rounded value of the expression")
        return exact
    return Answer("assignment", (bound,), name) if left else bound


def _equation(sides: list[str], read: Read) -> Answer:
    names = _NAMES.fullmatch(sides[0])
    if names:
        return _tuple_of_names(names[1], sides[1:], read)
    if len(sides) == 2 and read_name(sides[1]) and not read_name(sides[0]):
        sides = sides[::-1] if not variables(_tree(sides[0], read)) else sides
    name = read_name(sides[0])
    if name:
        return Answer("assignment", (read(sides[1]) if len(sides) == 2 else _chain(sides[1:], read),), name)
    first, *others = (_tree(side, read) for side in sides)
    if not variables(first) and (len(sides) > 2 or not variables(others[0])):
        return _chain(sides, read)
    if len(others) > 1 and not all(equal_trees(others[-1], other) for other in others):
        raise UnsupportedError("unequal sides")
    return Answer("equation", (("-", first, others[-1]),))


def _chain(sides: list[str], read: Read) -> Answer:
    """The last of equal sides."""
    last = _value(sides[-1], read)
    trees = [_tree(side, read) for side in sides]
    symbolic = variables(trees[-1])
    if not all(equal_trees(trees[-1], tree) for tree in trees if symbolic or not variables(tree)):
        raise UnsupportedError("unequal sides")
    return last


def _tuple_of_names(text: str, sides: list[str], read: Read) -> Answer:
    """`(x, y) = (1, 2)`."""
    names = [read_name(name) for name in split(text, (",",))]
    value = read(sides[0])
    fits = len(sides) == 1 and (value.kind, value.extra, len(value.parts)) == ("tuple", "()", len(names))
    if not fits or not all(names) or len(set(names)) < len(names):
        raise UnsupportedError("names that do not fit the values")
    return Answer("system", value.parts, "(" + "|".join(names))


def _inequality(left: str, sign: str, right: str, read: Read) -> Answer:
    if read_name(right) and not read_name(left):
        left, right, sign = right, left, _FLIPPED[sign]
    if read_name(left) and not variables(_tree(right, read)):
        return _ray(sign, _value(right, read))
    tree = ("-", _tree(left, read), _tree(right, read))
    bound = _linear(tree)
    if bound:
        return _ray(_FLIPPED[sign] if bound[1] else sign, Answer("value", (bound[0],)))
    if sign in (">", ">="):
        tree, sign = ("neg", tree), _FLIPPED[sign]
    return Answer("inequality", (tree,), sign)


def _linear(tree: tuple) -> tuple[tuple, bool] | None:
    """The root of an expression that is linear in its only variable, and whether its slope is negative; None otherwise."""
    names = variables(tree)
    if len(names) != 1:
        return None
    [name] = names
    zero, one = (_at(tree, name, number) for number in (0, 1))
    slope = ("-", one, zero)
    if not equal_trees(tree, ("+", zero, ("*", slope, ("name", name)))):
        return None
    size = ("call", "abs", slope)
    positive, negative = equal_trees(slope, size), equal_trees(("neg", slope), size)
    return (("/", ("neg", zero), slope), negative) if positive != negative else None


def _at(tree: tuple, name: str, number: int) -> tuple:
    """The tree with a number in place of a variable."""
    if tree == ("name", name):
        return ("number", Fraction(number))
    return tuple(_at(part, name, number) if isinstance(part, tuple) else part for part in tree)


def _ray(sign: str, bound: Answer) -> Answer:
    r"""`x > 5` as an interval, `x \ne 5` as a union of two."""
    infinity, minus = Answer("value", (_INFINITY,)), Answer("value", (("neg", _INFINITY),))
    if sign == "!=":
        return Answer("union", (Answer("tuple", (minus, bound), "()"), Answer("tuple", (bound, infinity), "()")))
    if sign in (">", ">="):
        return Answer("tuple", (bound, infinity), "[)" if sign == ">=" else "()")
    return Answer("tuple", (minus, bound), "(]" if sign == "<=" else "()")


def _value(text: str, read: Read) -> Answer:
    answer = read(text)
    if answer.kind not in ("value", "letters", "label"):
        raise UnsupportedError("a side that is not an expression")
    return answer


def _tree(text: str, read: Read) -> tuple:
    """The expression on one side."""
    answer = _value(text, read)
    return parse(answer.parts[0]) if answer.kind == "label" else answer.parts[-1]
