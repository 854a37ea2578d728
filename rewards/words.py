r"""Words, and letters that could be a word or a product.

    letters   `IV`, `no`, `AB`, `xy`: a run of letters without anything else. It is a word, compared case-insensitively, unless
              one of the two answers is plainly algebraic: lower-case letters of one usual set of variables in alphabetical
              order (`xy`, `abc`). Against a product with operators, the letters must stand in the same order.
    words     the content of `\text{}` and everything outside the grammar: always words
    label     `(C)`: a choice. It equals C, (c) and `\text{c}`, but not the variable c
    points    `\overline{AB}`, `segment AB`, `line AB` and `\angle ABC` may be read from either end; `\overrightarrow{AB}`
              may not. Without such a mark, AB is a word: it differs from BA.

In doubt, two answers differ.
"""

import re
import unicodedata

from rewards.arithmetic import equal_trees
from rewards.kinds import Answer
from rewards.parsing import VARIABLES, UnsupportedError, is_function, parse

KINDS = frozenset(("words", "label", "letters", "points"))

_LETTERS = re.compile(r"[A-Za-z](?: ?[A-Za-z])+")
_LABEL = re.compile(r"[({\[ ]*\(\s*\"?([A-Za-z])\"?\s*\)[)}\] ]*")
_CHOICE = re.compile(r"\"?\(([A-E])\)\"? [-+]?[0-9.]+")  # with its content: `\textbf{(C)}\ 5`
_POINTS = re.compile(
    r"(?:(\\overline|\\overleftrightarrow|\\overrightarrow|\\angle)|\"?(segment|line|angle|ray)\"?)\s*\{?\s*"
    r"([A-Z](?: ?[A-Z]){0,2})\s*\}?"
)
_BETWEEN_DIGITS = re.compile(r"(?<=[0-9])(?:\.|,\s*)(?=[0-9])")  # other periods and commas do not count
_SINGLE = re.compile(r"\{ ?(\w) ?\}")  # braces around one character are optional
_KEPT = {".": "\0", ",": "\1"}
_FIGURES = {"\\overline": "segment", "\\overleftrightarrow": "line", "\\overrightarrow": "ray", "\\angle": "angle"}


def read_words(text: str) -> Answer | None:
    """An answer that is a word, letters, a label or points; None for anything else."""
    if text[:1] == '"' and text.count('"') == 2 and text[-1] == '"':
        return Answer("words", (normalized(text),))
    label = _LABEL.fullmatch(text) or _CHOICE.fullmatch(text)
    if label:
        return Answer("label", (label[1],))
    points = _POINTS.fullmatch(text)
    if points and len(points[3]) > 1:
        return Answer("points", (points[3].replace(" ", ""),), _FIGURES.get(points[1]) or points[2])
    if _LETTERS.fullmatch(text) and not any(is_function(word) or word == "pi" for word in text.split()):
        return Answer("letters", (text.replace(" ", ""), parse(text)))
    return None


def normalized(text: str) -> str:
    """A text without case, spaces and punctuation.

    Raises:
        UnsupportedError: when nothing is left.
    """
    text = _BETWEEN_DIGITS.sub(lambda found: _KEPT[found[0][0]], text.lower())
    grouping = ""
    if "\\" in text:  # a formula: without them, `\\sqrt{n-1}` would be `\\sqrt{n}-1`
        grouping, text = "{}!|", _SINGLE.sub(r"\1", text)
    letters = "".join(character for character in text if _counts(character) or character in grouping)
    if not letters:
        raise UnsupportedError("only punctuation")
    return letters


def _counts(character: str) -> bool:
    """Whether a character distinguishes words: letters, digits, and signs of mathematics (`p∧q` is not `p∨q`)."""
    if character.isascii():
        return character.isalnum() or character in "()[]+*/=<>^_:-\0\1"
    category = unicodedata.category(character)
    return category[0] in "LMN" or category == "Sm" or character in "′″"


def equal_words(a: Answer, b: Answer) -> bool:
    """Whether two answers are equal, at least one of which is of one of KINDS.

    Raises:
        UnsupportedError, TooLargeError: when a product cannot be evaluated.
    """
    kinds = {a.kind, b.kind}
    if "letters" in kinds:
        a, b = (a, b) if a.kind == "letters" else (b, a)
        return _equal_letters(a, b)
    if kinds == {"points"}:
        return a.extra == b.extra and _same_points(a, b.parts[0])
    if "points" in kinds:
        return False
    if "value" in kinds:
        a, b = (a, b) if b.kind == "value" else (b, a)
        name = b.parts[0][1] if b.parts[0][0] == "name" else ""
        return a.parts[0] == (name if a.kind == "label" else name.lower())
    if not kinds <= KINDS:
        return False
    return a.parts[0].lower() == b.parts[0].lower()


def _equal_letters(a: Answer, b: Answer) -> bool:
    """Whether the run of letters `a` equals the answer `b`."""
    letters, tree = a.parts
    if b.kind == "points":
        return _same_points(b, letters)
    if b.kind == "value":
        same_order = _factors(b.parts[0]) == list(letters)
        return same_order or (is_algebraic(letters) and equal_trees(tree, b.parts[0]))
    if b.kind == "letters" and (is_algebraic(letters) or is_algebraic(b.parts[0])):
        return sorted(letters) == sorted(b.parts[0])
    return b.kind in ("words", "letters") and letters.lower() == b.parts[0].lower()


def is_algebraic(letters: str) -> bool:
    """Whether a run of letters is plainly a product."""
    return list(letters) == sorted(letters) and any(set(letters) <= names for names in VARIABLES)


def _factors(tree: tuple) -> list[str]:
    """The names that a product consists of, in order; [] for any other tree."""
    names, pending = [], [tree]
    while pending:
        kind, *parts = pending.pop()
        if kind == "*":
            pending += parts[::-1]
        elif kind == "name":
            names += parts
        else:
            return []
    return names


def _same_points(figure: Answer, letters: str) -> bool:
    points = figure.parts[0]
    return letters == points or (figure.extra != "ray" and letters == points[::-1])
