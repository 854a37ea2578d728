"""Parses a final answer into its structure (kinds.py).

README.md lists the conventions. They apply equally to predicted and gold answers, so swapping the two never changes a verdict.
"""

import re
from fractions import Fraction

from rewards.arithmetic import equal_trees
from rewards.brackets import balanced, split, without_braces
from rewards.cleaning import MAX_LENGTH, clean
from rewards.kinds import Answer
from rewards.matrices import read_matrix
from rewards.parsing import GREEK, UnsupportedError, parse
from rewards.relations import RELATION, read_relation
from rewards.units import without_units
from rewards.words import normalized, read_words

_GROUPED_DIGITS = re.compile(r"[-+]?[0-9]{1,3}(?:(?:,[0-9]{3})+|(?:[ ][0-9]{3})+)(?:\.[0-9]+)?")
_OPENING = frozenset("([{")  # in a tuple, commas separate
_GROUPS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])")
_MIXED = re.compile(r"([-+]?)([0-9]+)\s+([0-9]+)\s*/\s*([0-9]+)")
_SCIENTIFIC = re.compile(r"(?<![A-Za-z0-9])([0-9]+(?:\.[0-9]+)?)[eE]([-+]?[0-9]{1,4})(?![A-Za-z0-9])")
_DECIMAL = re.compile(r"[-+]? ?([0-9]*)\.([0-9]+)")
_MIN_ROUNDED = 10  # significant digits from which a decimal may stand for a number that rounds to it
_CASES = re.compile(
    r"(?:\\begin\{cases\}(.*)\\end\{cases\}|\\lbrace ?\\begin\{(?:array|aligned|matrix)\}(?:\{[lcr ]*\})?(.*)"
    r"\\end\{(?:array|aligned|matrix)\})"
)
# Neither arithmetic (2021-01-05) nor a product (5 pm).
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}"
    r"|(?i:[0-9]+(?::[0-9]{2})?\s*\"?[ap]\.?\s?m\.?\"?)"
)
_MEMBER = re.compile(
    r"^(?:(?:[A-Za-z]|\\(?:" + "|".join(GREEK) + r"))(?:_\{?\w+\}?)?|\( ?[A-Za-z](?: ?, ?[A-Za-z])+ ?\)) ?\\in(?![a-z]) ?"
)
_BASE = re.compile(r"\(? ?([0-9]+) ?\)? ?_ ?\{? ?\(? ?([0-9]+) ?\)? ?\}? ?\)?")  # `2516_8`, `(2516)_8`, `2516_{(8)}`
_INEQUALITY = re.compile(r"[<>]|\\[lg]e(?![a-z])")
_SET_SIGN = re.compile(r"\\in(?:fty)?(?![a-z])")
_SEPARATORS = (",", ";", " and ", " or ")


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
        return Answer("words", (normalized(without_braces(cleaned)),))
    except (RecursionError, ValueError, OverflowError):
        raise UnsupportedError("cannot be parsed") from None


def _structure(text: str, units: bool = True) -> Answer:
    """The structure of cleaned text. `units`: whether units may still be removed; they are removed once."""
    text = _MEMBER.sub("", without_braces(text))
    based = _BASE.fullmatch(text)
    if based and based[2] == "10":
        text = based[1]
    elif based:
        return Answer("words", (normalized(f"{based[1]}_{based[2]}"),))
    if _DATE.fullmatch(text):
        return Answer("words", (normalized(text),))
    bare = without_units(text) if units else text
    if _GROUPED_DIGITS.fullmatch(bare):
        return _value(bare.replace(",", "").replace(" ", ""))
    if "\\begin" in text:
        cases = _CASES.fullmatch(text)
        if cases:
            return _structure(_rows(cases[1] or cases[2]))
        matrix = read_matrix(text)
        if matrix:
            return matrix
    union = split(text, ("\\cup",))
    if len(union) > 1:
        return Answer("union", tuple(_structure(part) for part in union))
    if RELATION.search(text) and _OPENING.isdisjoint(text):
        text = _GROUPS.sub(lambda found: found[0].replace(",", ""), text)  # `x = 1,000`
    parts = split(text, _SEPARATORS)
    if len(parts) > 1:
        alternatives = split(text, (" or ",))
        items = [_structure(part) for part in parts if part.strip()]
        if len(alternatives) == len(parts) == len(items):
            if all(map(_INEQUALITY.search, parts)) or _are_intervals(items, parts):
                return Answer("union", tuple(items))
            if {item.kind for item in items} == {"value"} and all(equal_trees(items[0].parts[0], i.parts[0]) for i in items):
                return items[0]  # `\frac{7}{2} or 3.5`
        return _list(items)
    bracketed = _brackets(text)
    if bracketed:
        return bracketed
    for sign in ("\\pm", "\\mp"):
        if text.count(sign) == 1:
            return _list([_structure(text.replace(sign, each)) for each in ("+", "-")])
    if RELATION.search(text):
        return read_relation(text, _structure)
    if text != bare:
        return _structure(bare, units=False)
    return read_words(text) or _value(text)


def _list(items: list[Answer]) -> Answer:
    """A list; `\\pm` within it counts as two items.

    Values of the same name (`x = 1, x = 2`, `x = \\pm 1`) stand for themselves; values of different names are a system.
    """
    items = [each for item in items for each in (item.parts if item.kind == "list" else (item,))]
    kinds = {item.kind for item in items}
    names = [item.extra for item in items if item.kind in ("assignment", "system")]
    if len(set(names)) == 1 and len(names) == len(items) - sum(item.kind in ("value", "tuple") for item in items):
        return Answer("list", tuple(map(_unnamed, items)), names[0]) if len(items) > 1 else _unnamed(items[0])
    elif kinds == {"assignment"} and len(set(names)) == len(names) > 1:
        return Answer("system", tuple(item.parts[0] for item in items), "|".join(names))
    return items[0] if len(items) == 1 else Answer("list", tuple(items))


def _are_intervals(items: list[Answer], parts: list[str]) -> bool:
    """Whether pairs are intervals, not points: one of them has a square bracket, infinity or `\\in`."""
    if any(item.kind != "tuple" or len(item.parts) != 2 for item in items):
        return False
    return any(item.extra != "()" or _SET_SIGN.search(part) for item, part in zip(items, parts, strict=True))


def _unnamed(item: Answer) -> Answer:
    if item.kind == "system":
        return Answer("tuple", item.parts, "()")
    return item.parts[0] if item.kind == "assignment" else item


def _rows(text: str) -> str:
    """The rows of a system as a list."""
    text = re.sub(r"&(?=\s*(?:=|<|>|\\le|\\ge))", "", text)
    if "&" in text:
        raise UnsupportedError("a function defined by cases")
    return ", ".join(row.strip().rstrip(",") for row in text.split("\\\\") if row.strip())


def _brackets(text: str) -> Answer | None:
    """A set, tuple or interval if a single pair of brackets encloses the text; None otherwise."""
    for opening, closing in (("\\lbrace", "\\rbrace"), ("(", ")"), ("[", "]"), ("(", "]"), ("[", ")")):
        if not (text.startswith(opening) and text.endswith(closing)):
            continue
        inside = text[len(opening) : -len(closing)].strip()
        parts = split(inside, (",", ";")) if balanced(inside) else []
        if opening == "\\lbrace":
            items = [_structure(part) for part in parts if part.strip()]
            return Answer("set", tuple(each for item in items for each in (item.parts if item.kind == "list" else (item,))))
        if len(parts) > 1:
            return Answer("tuple", tuple(_structure(part) for part in parts), opening + closing)
    return None


def _value(text: str) -> Answer:
    mixed = _MIXED.fullmatch(text)
    if mixed:
        sign, whole, above, below = mixed[1], *map(int, mixed.groups()[1:])
        if below == 0:
            raise UnsupportedError("a zero denominator")
        number = whole + Fraction(above, below)
        return Answer("value", (("number", -number if sign == "-" else number),))
    decimal = _DECIMAL.fullmatch(text)
    places = ""
    if decimal and len((decimal[1] + decimal[2]).lstrip("0")) >= _MIN_ROUNDED:
        places = str(len(decimal[2]))
    return Answer("value", (parse(_SCIENTIFIC.sub(r"(\1*10^{\2})", text)),), places)
