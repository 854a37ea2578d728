r"""The structure of a final answer: a value, a list, a set, a tuple or interval, a union, a matrix, a relation, or words.

The conventions, the same for both sides, so that swapping them changes nothing:
    value      an expression counts by its value, exactly: 0.5 is 1/2, 40+2 is 42, 0.33 is not 1/3
    percent    the sign is a unit: 28% is 28, and neither is 0.28
    units      money, degrees and words after a number are dropped: `5 bags`, `5\text{ cm}^2`, `\$5` and 5 are the same
    grouping   1,000 and 1 000 are 1000 where the whole answer is such a number
    lists      `1, 2`, `1; 2`, `1 and 2`, `\pm 2` and {1, 2} have no order; (1, 2) has, and is also the open interval
    relations  `x = 5` is 5, but not `y = 5`; `41 = 42` is neither; other equations are equal up to a factor
    words      without case, blanks and punctuation; (C) is C
"""

import collections
import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

from rewards import expression
from rewards.expression import UnknownError

LONGEST = 400  # characters; a longer answer is prose or an attack

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
_GROUPED = re.compile(r"[-+]?[0-9]{1,3}(?:(?:,[0-9]{3})+|(?:[ ][0-9]{3})+)(?:\.[0-9]+)?")
_GROUP_COMMA = re.compile(r"(?<=[0-9]),\\!\s*(?=[0-9]{3}(?![0-9]))")  # as MATH writes 29,\!322: never a list
_MIXED = re.compile(r"([-+]?)([0-9]+)\s+([0-9]+)\s*/\s*([0-9]+)")
_SCIENTIFIC = re.compile(r"(?<![A-Za-z0-9])([0-9]+(?:\.[0-9]+)?)[eE]([-+]?[0-9]{1,4})(?![A-Za-z0-9])")
_UNIT = re.compile(
    r"(?<=[0-9.)}\]])(?:\s*+[A-Za-z]{3,}+|\s++(?:cm|mm|km|ft|in|kg|lb|oz|ml|mL|hr|mi|sq))(?!\s*[ap]\.?m\b)"
    r"(?![A-Za-z])[\s./]*+(?:[A-Za-z]++[\s./]*+){0,3}(?:\^\s*\{?[23]\}?)?$"  # possessive: nothing is tried twice
)
_NO_UNIT = re.compile(r"\b(?:hundred|thousand|million|billion|trillion|not|or|is)\b")
_RELATION = re.compile(r"(\\leq?(?![a-z])|\\geq?(?![a-z])|<=|>=|[=<>])")
_SIGNS = {r"\le": "<=", r"\leq": "<=", r"\ge": ">=", r"\geq": ">=", "<=": "<=", ">=": ">="}
_MATRIX = re.compile(r"\\begin\{([pb]?matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\}", re.DOTALL)
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


@dataclass(frozen=True)
class Answer:
    """A parsed answer; `parts` are answers, a tree, or words, by `kind`.

    Kinds: value (tree), words (str), list and set and union (no order), tuple (order; `extra` its two brackets), matrix (rows),
    assignment (value; `extra` the variable), equation (tree of left - right), inequality (tree; `extra` < or <=).
    """

    kind: str
    parts: tuple
    extra: str = ""


def clean(text: str) -> str:
    """The text without what only sets it: math signs, spacing, `\\left`, text wrappers, money and degree signs, a full stop.

    Raises:
        UnknownError: where normalising makes it much longer: one Unicode character can stand for eighteen.
    """
    text = unicodedata.normalize("NFKC", text.translate(_SYMBOLS)).translate(_SYMBOLS).strip()
    if len(text) > 2 * LONGEST:
        raise UnknownError("longer than an answer")
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


def read(text: str) -> Answer:
    """The structure of an answer; words where it is nothing else.

    Raises:
        UnknownError: for an answer that is longer than LONGEST, or is empty.
    """
    if len(text) > LONGEST:
        raise UnknownError("longer than an answer")
    cleaned = clean(text)
    if not cleaned:
        raise UnknownError("empty")
    try:
        return _structure(cleaned)
    except UnknownError:
        return Answer("words", (_words(cleaned),))
    except (RecursionError, ValueError, OverflowError):
        raise UnknownError("cannot be read") from None


def same(a: Answer, b: Answer) -> bool:
    """Whether two answers are the same.

    Raises:
        UnknownError, TooLargeError: when a value in them cannot be worked out.
    """
    if a.kind == "assignment" and b.kind == "assignment" and a.extra != b.extra:
        return False
    if "assignment" in (a.kind, b.kind):
        if {a.kind, b.kind} == {"assignment", "equation"}:
            return _same_zeros(*(side if side.kind == "equation" else _as_equation(side) for side in (a, b)))
        a, b = (side.parts[0] if side.kind == "assignment" else side for side in (a, b))
        return same(a, b)
    if {a.kind, b.kind} == {"list", "set"}:
        return _same_unordered(a.parts, b.parts)
    if a.kind != b.kind:
        return False
    if a.kind == "value":
        return expression.same_value(a.parts[0], b.parts[0])
    if a.kind == "words":
        return a.parts == b.parts
    if a.kind in ("list", "set", "union"):
        return _same_unordered(a.parts, b.parts)
    if a.kind in ("tuple", "matrix"):
        shape = a.extra == b.extra and len(a.parts) == len(b.parts)
        return shape and all(same(x, y) for x, y in zip(a.parts, b.parts, strict=True))
    return a.extra == b.extra and _same_zeros(a, b)


def is_words(answer: Answer) -> bool:
    """Whether nothing but words was seen in it."""
    return answer.kind == "words"


def _structure(text: str, unit: bool = True) -> Answer:
    """The structure of cleaned text; `unit`: whether it may end in a unit, of which at most one is removed."""
    head = _without_unit(text) if unit else text
    if _GROUPED.fullmatch(head):
        text = head.replace(",", "").replace(" ", "")
    matrix = _MATRIX.fullmatch(text)
    if matrix:
        rows = [row for row in re.split(r"\\\\", matrix[2]) if row.strip()]
        cells = [[_structure(cell.strip()) for cell in row.split("&")] for row in rows]
        return Answer("matrix", tuple(Answer("tuple", tuple(row), "row") for row in cells))
    union = _split(text, ("\\cup",))
    if len(union) > 1:
        return Answer("union", tuple(_structure(part) for part in union))
    text = re.sub(r"^[A-Za-z]\s*\\in(?![a-z])\s*", "", text)
    parts = _split(text, (",", ";", " and ", " or ", "\\text{and}"))
    if len(parts) > 1:
        items = [_structure(part) for part in parts if part.strip()]
        return _list(items)
    wrapped = _brackets(text)
    if wrapped:
        return wrapped
    for sign in ("\\pm", "\\mp"):
        if text.count(sign) == 1:
            return _list([_structure(text.replace(sign, each)) for each in ("+", "-")])
    if _RELATION.search(text):
        return _relation(text)
    return _value(text, unit)


def _list(items: list[Answer]) -> Answer:
    """A list; if all are assignments to one variable (`x = 1, x = 2`, `x = \\pm 1`) it is that of their values."""
    variables = {item.extra for item in items if item.kind == "assignment"}
    plain = [item for item in items if item.kind != "assignment"]
    if len(variables) == 1 and (len(plain) < len(items)) and all(item.kind == "value" for item in plain):
        items = [item.parts[0] if item.kind == "assignment" else item for item in items]
    if len(items) == 1:
        return items[0]
    return Answer("list", tuple(items))


def _brackets(text: str) -> Answer | None:
    """A set, a tuple or an interval, where one pair of brackets is around all of the text and it has several parts."""
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
    sides, signs = pieces[::2], [_SIGNS.get(sign, sign) for sign in pieces[1::2]]
    if set(signs) == {"="}:
        return _equation(sides)
    if "=" in signs or len(signs) > 2:
        raise UnknownError("a relation of several kinds")
    if len(signs) == 1:
        left, right = sides
        if re.fullmatch(r"[A-Za-z]", right):
            left, right, signs = right, left, [_TURNED[signs[0]]]
        if re.fullmatch(r"[A-Za-z]", left):
            return _ray(left, signs[0], right)
        trees = [expression.parse(side) for side in (left, right)]
        if signs[0] in (">", ">="):
            trees, signs = trees[::-1], [_TURNED[signs[0]]]
        return Answer("inequality", (("-", *trees),), signs[0])
    if signs[0][0] != signs[1][0] or not re.fullmatch(r"[A-Za-z]", sides[1]):
        raise UnknownError("a relation of several kinds")
    if signs[0][0] == ">":
        sides, signs = sides[::-1], [_TURNED[sign] for sign in signs[::-1]]
    brackets = ("[" if signs[0] == "<=" else "(") + ("]" if signs[1] == "<=" else ")")
    return Answer("tuple", (_value(sides[0]), _value(sides[2])), brackets)


def _ray(variable: str, sign: str, bound: str) -> Answer:
    """`x > 5` as the interval that it is."""
    infinity = ("name", "infty")
    if sign in (">", ">="):
        return Answer("tuple", (_value(bound), Answer("value", (infinity,))), "[)" if sign == ">=" else "()")
    return Answer("tuple", (Answer("value", (("neg", infinity),)), _value(bound)), "(]" if sign == "<=" else "()")


def _equation(sides: list[str]) -> Answer:
    if len(sides) == 2 and re.fullmatch(r"[A-Za-z](?:_\{?\w+\}?)?(?:\([a-z](?:,\s*[a-z])*\))?", sides[0]):
        return Answer("assignment", (_structure(sides[1]),), sides[0].replace(" ", ""))
    if len(sides) > 2 and re.fullmatch(r"[A-Za-z](?:\([a-z]\))?", sides[0]):
        return Answer("assignment", (_equation(sides[1:]),), sides[0])
    trees = [expression.parse(side) for side in sides]
    if not any(map(expression.names, trees)):
        if all(expression.same_value(trees[0], tree) for tree in trees[1:]):
            return Answer("value", (trees[-1],))
        raise UnknownError("sides that are not equal")
    if len(sides) > 2:
        raise UnknownError("a chain of equations")
    return Answer("equation", (("-", *trees),))


def _as_equation(assignment: Answer) -> Answer:
    variable = expression.parse(assignment.extra)
    if assignment.parts[0].kind != "value":
        raise UnknownError("an assignment of several values")
    return Answer("equation", (("-", variable, assignment.parts[0].parts[0]),))


def _same_zeros(a: Answer, b: Answer) -> bool:
    """Whether left - right of one is a constant (for inequalities a positive one) times that of the other."""
    ratios = []

    def ratio(tree, point):
        first = expression.value(tree[0], point)
        second = expression.value(tree[1], point)
        if not (isinstance(first, Fraction) and isinstance(second, Fraction)):
            first, second = first + expression.mpmath.mpf(0), second + expression.mpmath.mpf(0)
        ratios.append(first / second)
        return ratios[-1]

    pair = (a.parts[0], b.parts[0])
    constant = expression.same_values(
        lambda tree, point: ratio(pair, point) if tree == "ratio" else ratios[0], "ratio", "first", 4
    )
    return constant and ratios[0] != 0 and (not a.extra or expression.mpmath.re(ratios[0]) > 0)


def _same_unordered(a: tuple, b: tuple) -> bool:
    """Whether two collections hold the same answers, each as often."""
    if len(a) != len(b) or len(a) > 40:
        return False
    left = list(b)
    for item in a:
        match = next((i for i, other in enumerate(left) if same(item, other)), None)
        if match is None:
            return False
        del left[match]
    return True


def _value(text: str, unit: bool = True) -> Answer:
    mixed = _MIXED.fullmatch(text)
    if mixed:
        sign, whole, above, below = mixed[1], *map(int, mixed.groups()[1:])
        if below == 0:
            raise UnknownError("a fraction without a denominator")
        number = whole + Fraction(above, below)
        return Answer("value", (("number", -number if sign == "-" else number),))
    head = _without_unit(text) if unit else text
    if head != text:
        return _structure(head, unit=False)
    return Answer("value", (expression.parse(_SCIENTIFIC.sub(r"(\1*10^{\2})", text)),))


def _without_unit(text: str) -> str:
    """The text without the words of a unit at its end, as long as none of them changes the number."""
    changing = collections.deque(_NO_UNIT.finditer(text), maxlen=1)  # the last one: a unit may begin after it
    unit = _UNIT.search(text, changing[0].start() + 1 if changing else 0)
    return (text[: unit.start()] if unit else text).strip()


def _words(text: str) -> str:
    letters = "".join(c for c in text.lower() if c in "()[]+*/=<>^_:-" or unicodedata.category(c)[0] in "LMN")
    if not letters:
        raise UnknownError("nothing to read")
    return letters


def _split(text: str, separators: tuple[str, ...]) -> list[str]:
    """The text's parts between separators that stand outside all brackets."""
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
    """Whether no bracket closes before it opened, so that the pair around the text is one pair."""
    depth = 0
    for character in text:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0
