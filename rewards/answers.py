"""Parses a final answer into its structure: a value, list, set, tuple, union, matrix, equation, inequality or words.

README.md lists the conventions. They apply equally to predicted and gold answers, so swapping the two never changes a verdict.
"""

import collections
import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

from rewards.arithmetic import equal_trees
from rewards.parsing import UnsupportedError, parse, variables

MAX_LENGTH = 400  # characters; a longer answer is prose or an attack

_SPACES = re.compile(
    r"(?<!\\)\\(?:[,;:! ]|q?quad\b|displaystyle\b|left(?![a-z])|right(?![a-z])|[bB]igg?[lr]?(?![a-z])|limits\b)|~"
)
_FRACTIONS = re.compile(r"\\[dtc]frac(?![a-z])")
_WRAPPER = re.compile(r"\\(?:boxed|fbox|text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|bf|rm)\s*\{([^{}]*)\}")
_TEXT_UNIT = re.compile(
    r"(?<=[0-9A-Za-z)}])\s*\\(?:text|textrm|mbox|mathrm|rm)\s*\{(?!\s*[ap]\.?\s*m\b|[^{}]*\b(?:is|not|or|and|if|answer)\b)[^{}0-9]*\}(?:\^\s*\{?[23]\}?)?$"
)
_INFINITY = re.compile(r"(?<![A-Za-z\\])(?:infinity|inf|oo)(?![A-Za-z])")
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|°|\\degree(?![a-z])")
_SYMBOLS = str.maketrans(
    {
        "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ",
        "≥": r"\ge ", "≠": r"\ne ", "∪": r"\cup ", "±": r"\pm ", "²": "^{2}", "³": "^{3}", "½": r"\frac{1}{2}",
        "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "√": r"\sqrt ", "\u200b": "", "\u00a0": " ", "€": "", "£": "",
        "∅": r"\emptyset ",
    }
)  # fmt: skip
_GROUPED_DIGITS = re.compile(r"[-+]?[0-9]{1,3}(?:(?:,[0-9]{3})+|(?:[ ][0-9]{3})+)(?:\.[0-9]+)?")
_GROUP_COMMA = re.compile(r"(?<=[0-9]),\\!\s*(?=[0-9]{3}(?![0-9]))")  # MATH writes 29,\!322; never a list
_MIXED = re.compile(r"([-+]?)([0-9]+)\s+([0-9]+)\s*/\s*([0-9]+)")
_SCIENTIFIC = re.compile(r"(?<![A-Za-z0-9])([0-9]+(?:\.[0-9]+)?)[eE]([-+]?[0-9]{1,4})(?![A-Za-z0-9])")
_UNIT = re.compile(
    r"(?<=[0-9.)}\]])(?:\s*+[A-Za-z]{3,}+|\s++(?:cm|mm|km|ft|in|kg|lb|oz|ml|mL|hr|mi|sq))(?!\s*[ap]\.?m\b)"
    r"(?![A-Za-z])[\s./]*+(?:[A-Za-z]++[\s./]*+){0,3}(?:\^\s*\{?[23]\}?)?$"  # possessive: no backtracking
)
_NOT_A_UNIT = re.compile(r"\b(?:hundred|thousand|million|billion|trillion|not|or|is)\b")
_RELATION = re.compile(r"(\\leq?(?![a-z])|\\geq?(?![a-z])|<=|>=|[=<>])")
_CANONICAL_SIGNS = {r"\le": "<=", r"\leq": "<=", r"\ge": ">=", r"\geq": ">=", "<=": "<=", ">=": ">="}
_MATRIX = re.compile(r"\\begin\{([pb]?matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\}", re.DOTALL)
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


@dataclass(frozen=True)
class Answer:
    """A parsed answer. `kind` determines `parts` and `extra`:

    value             one expression tree (parsing.py)
    words             one normalized string
    list, set, union  answers, unordered
    tuple             answers, ordered; `extra`: the two brackets. Intervals are tuples
    matrix            rows, as tuples
    assignment        the assigned answer; `extra`: the variable
    equation          the tree of left - right
    inequality        the tree of left - right; `extra`: `<` or `<=`
    """

    kind: str
    parts: tuple
    extra: str = ""


def clean(text: str) -> str:
    """Removes formatting: math delimiters, spacing, `\\left`, text wrappers, currency and degree signs, a final period.

    Raises:
        UnsupportedError: when the normalized text is too long: NFKC expands one character to as many as 18.
    """
    text = unicodedata.normalize("NFKC", text.translate(_SYMBOLS)).translate(_SYMBOLS).strip()
    if len(text) > 2 * MAX_LENGTH:
        raise UnsupportedError("too long for an answer")
    text = text.replace("\\$", "").replace("$", "").replace("\\%", "").replace("%", "").replace("**", "")
    text = re.sub(r"\\[()\[\]]", "", text) if text.startswith(("\\(", "\\[")) else text
    boxed = re.fullmatch(r"\\f?box(?:ed)?\s*\{(.*)\}", text)
    text = boxed[1] if boxed else text
    text = _GROUP_COMMA.sub("", text)
    text = text.replace("{,}", ",").replace("\\{", "\\lbrace ").replace("\\}", "\\rbrace ")
    text = _DEGREES.sub("", _FRACTIONS.sub(r"\\frac", _SPACES.sub("", text)))
    text = _INFINITY.sub(r"\\infty ", _TEXT_UNIT.sub("", text))
    for _ in range(3):
        text = _WRAPPER.sub(r" \1 ", text)
    text = text.replace("\\dots", "").replace("\\infinity", "\\infty")
    return re.sub(r"\s+", " ", text).strip().rstrip(".").strip()


def parse_answer(text: str) -> Answer:
    """The structure of an answer; words if it is nothing else.

    Raises:
        UnsupportedError: when the answer is empty or longer than MAX_LENGTH.
        TooLargeError: when the sides of an equation between numbers exceed the bounds of arithmetic.py.
    """
    if len(text) > MAX_LENGTH:
        raise UnsupportedError("too long for an answer")
    cleaned = clean(text)
    if not cleaned:
        raise UnsupportedError("empty")
    try:
        return _structure(cleaned)
    except UnsupportedError:
        return Answer("words", (_words(cleaned),))
    except (RecursionError, ValueError, OverflowError):
        raise UnsupportedError("cannot be parsed") from None


def _structure(text: str, unit: bool = True) -> Answer:
    """The structure of cleaned text. `unit`: whether a trailing unit may be removed; at most one is."""
    head = _without_unit(text) if unit else text
    has_unit = head != text
    if _GROUPED_DIGITS.fullmatch(head):
        text = head.replace(",", "").replace(" ", "")
    matrix = _MATRIX.fullmatch(text)
    if matrix:
        rows = [row.split("&") for row in matrix[2].split("\\\\") if row.strip()]
        return Answer("matrix", tuple(Answer("tuple", tuple(_structure(cell.strip()) for cell in row), "row") for row in rows))
    union = _split(text, ("\\cup",))
    if len(union) > 1:
        return Answer("union", tuple(_structure(part) for part in union))
    text = re.sub(r"^[A-Za-z]\s*\\in(?![a-z])\s*", "", text)
    parts = _split(text, (",", ";", " and ", " or ", "\\text{and}"))
    if len(parts) > 1:
        return _list([_structure(part) for part in parts if part.strip()])
    bracketed = _brackets(text)
    if bracketed:
        return bracketed
    for sign in ("\\pm", "\\mp"):
        if text.count(sign) == 1:
            return _list([_structure(text.replace(sign, each)) for each in ("+", "-")])
    if _RELATION.search(text):
        return _relation(text)
    return _value(text, has_unit)


def _list(items: list[Answer]) -> Answer:
    """A list; assignments to a single variable (`x = 1, x = 2`, `x = \\pm 1`) are replaced by their values."""
    assigned = {item.extra for item in items if item.kind == "assignment"}
    if len(assigned) == 1 and all(item.kind in ("assignment", "value") for item in items):
        items = [item.parts[0] if item.kind == "assignment" else item for item in items]
    return items[0] if len(items) == 1 else Answer("list", tuple(items))


def _brackets(text: str) -> Answer | None:
    """A set, tuple or interval if a single pair of brackets encloses the text; None otherwise."""
    for opening, closing in (("\\lbrace", "\\rbrace"), ("(", ")"), ("[", "]"), ("(", "]"), ("[", ")")):
        if not (text.startswith(opening) and text.endswith(closing)):
            continue
        inside = text[len(opening) : -len(closing)].strip()
        parts = _split(inside, (",", ";")) if _balanced(inside) else []
        if opening == "\\lbrace":
            return Answer("set", tuple(_structure(part) for part in parts if part.strip()))
        if len(parts) > 1:
            return Answer("tuple", tuple(_structure(part) for part in parts), opening + closing)
        if len(inside) == 1 and inside.isalpha():
            return _value(inside)
    return None


def _relation(text: str) -> Answer:
    pieces = [piece.strip() for piece in _RELATION.split(text)]
    sides, signs = pieces[::2], [_CANONICAL_SIGNS.get(sign, sign) for sign in pieces[1::2]]
    if set(signs) == {"="}:
        return _equation(sides)
    if "=" in signs or len(signs) > 2:
        raise UnsupportedError("a mixed relation")
    if len(signs) == 1:
        left, right = sides
        if re.fullmatch(r"[A-Za-z]", right):
            left, right, signs = right, left, [_FLIPPED[signs[0]]]
        if re.fullmatch(r"[A-Za-z]", left):
            return _ray(left, signs[0], right)
        trees = [parse(side) for side in (left, right)]
        if signs[0] in (">", ">="):
            trees, signs = trees[::-1], [_FLIPPED[signs[0]]]
        return Answer("inequality", (("-", *trees),), signs[0])
    if signs[0][0] != signs[1][0] or not re.fullmatch(r"[A-Za-z]", sides[1]):
        raise UnsupportedError("a mixed relation")
    if signs[0][0] == ">":
        sides, signs = sides[::-1], [_FLIPPED[sign] for sign in signs[::-1]]
    brackets = ("[" if signs[0] == "<=" else "(") + ("]" if signs[1] == "<=" else ")")
    return Answer("tuple", (_value(sides[0]), _value(sides[2])), brackets)


def _ray(variable: str, sign: str, bound: str) -> Answer:
    """`x > 5` as an interval."""
    infinity = ("name", "infty")
    if sign in (">", ">="):
        return Answer("tuple", (_value(bound), Answer("value", (infinity,))), "[)" if sign == ">=" else "()")
    return Answer("tuple", (Answer("value", (("neg", infinity),)), _value(bound)), "(]" if sign == "<=" else "()")


def _equation(sides: list[str]) -> Answer:
    if len(sides) == 2 and re.fullmatch(r"[A-Za-z](?:_\{?\w+\}?)?(?:\([a-z](?:,\s*[a-z])*\))?", sides[0]):
        return Answer("assignment", (_structure(sides[1]),), sides[0].replace(" ", ""))
    if len(sides) > 2 and re.fullmatch(r"[A-Za-z](?:\([a-z]\))?", sides[0]):
        return Answer("assignment", (_equation(sides[1:]),), sides[0])
    trees = [parse(side) for side in sides]
    if not any(map(variables, trees)):
        if all(equal_trees(trees[0], tree) for tree in trees[1:]):
            return Answer("value", (trees[-1],))
        raise UnsupportedError("unequal sides")
    if len(sides) > 2:
        raise UnsupportedError("a chain of equations")
    return Answer("equation", (("-", *trees),))


def _value(text: str, unit: bool = True) -> Answer:
    mixed = _MIXED.fullmatch(text)
    if mixed:
        sign, whole, above, below = mixed[1], *map(int, mixed.groups()[1:])
        if below == 0:
            raise UnsupportedError("a zero denominator")
        number = whole + Fraction(above, below)
        return Answer("value", (("number", -number if sign == "-" else number),))
    head = _without_unit(text) if unit else text
    if head != text:
        return _structure(head, unit=False)
    return Answer("value", (parse(_SCIENTIFIC.sub(r"(\1*10^{\2})", text)),))


def _without_unit(text: str) -> str:
    """Removes a trailing unit, unless one of its words affects the meaning (`million`, `not`)."""
    last = collections.deque(_NOT_A_UNIT.finditer(text), maxlen=1)  # a unit may start after it
    unit = _UNIT.search(text, last[0].start() + 1 if last else 0)
    return (text[: unit.start()] if unit else text).strip()


def _words(text: str) -> str:
    letters = "".join(c for c in text.lower() if c in "()[]+*/=<>^_:-" or unicodedata.category(c)[0] in "LMN")
    if not letters:
        raise UnsupportedError("only punctuation")
    return letters


def _split(text: str, separators: tuple[str, ...]) -> list[str]:
    """Splits at separators outside all brackets."""
    parts, depth, start, at = [], 0, 0, 0
    while at < len(text):
        if text.startswith(("\\lbrace", "\\rbrace"), at):
            depth += 1 if text.startswith("\\lbrace", at) else -1
            at += 7
            continue
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text[at], 0)
        found = next((s for s in separators if depth == 0 and text.startswith(s, at)), None)
        if found:
            parts.append(text[start:at].strip())
            at += len(found)
            start = at
        else:
            at += 1
    return [*parts, text[start:].strip()]


def _balanced(text: str) -> bool:
    """Whether `(` and `[` are balanced within the text, so that the brackets around it match each other."""
    depth = 0
    for character in text:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0
