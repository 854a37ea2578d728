r"""Reads matrices, and sums and products of them.

    \begin{pmatrix}1\\2\end{pmatrix},  \left[\begin{array}{c}1\\2\end{array}\right],  2\begin{bmatrix}1&0\\0&1\end{bmatrix}+...

Entries are expressions. The number of matrices and their size are bounded.
"""

import re

from rewards.kinds import Answer
from rewards.parsing import UnsupportedError, parse

_MATRIX = re.compile(r"\\begin\{([pbBs]?(?:small)?matrix|array)\}(?:\{[lcr| ]*\})?((?:(?!\\begin).)*?)\\end\{\1\}", re.DOTALL)
_BRACKETED = re.compile(r"[(\[]\s*(\\begin\{array\}(?:(?!\\begin).)*?\\end\{array\})\s*[)\]]", re.DOTALL)
_ROW_END = re.compile(r"\\\\(?:\[[0-9.]+ ?(?:pt|ex|em|mm|cm)\])?")  # `\\[4pt]` adds space
_SEPARATOR = re.compile(r"[,;=<>]| (?:and|or) ")
_MAX_MATRICES, _MAX_ENTRIES = 3, 36  # in an expression

Matrix = list[list[tuple]]  # rows of trees


def read_matrix(text: str) -> Answer | None:
    """The matrix that a text denotes; None if it contains none, or more than one answer.

    Raises:
        UnsupportedError: for an expression that does not denote a matrix.
    """
    if "\\begin{array}" in text:
        text = _BRACKETED.sub(r"\1", text)
    found = list(_MATRIX.finditer(text))
    if not found or _SEPARATOR.search(_MATRIX.sub("", text)):
        return None
    matrices = [_rows(match[2]) for match in found]
    if len(found) == 1 and found[0].span() == (0, len(text)):
        return _answer(matrices[0])
    if "\\vec" in text or len(matrices) > _MAX_MATRICES or any(len(m) * len(m[0]) > _MAX_ENTRIES for m in matrices):
        raise UnsupportedError("too many or too large matrices, or vectors")
    numbers = iter(range(len(found)))
    tree = parse(_MATRIX.sub(lambda _: f"(\\vec{{M}}_{{{next(numbers)}}})", text))
    result = _evaluate(tree, matrices)
    if isinstance(result, tuple):
        raise UnsupportedError("not a matrix")
    return _answer(result)


def _rows(text: str) -> Matrix:
    rows = [[parse(cell) for cell in row.split("&")] for row in _ROW_END.split(text) if row.strip()]
    if not rows or len({len(row) for row in rows}) > 1:
        raise UnsupportedError("not a matrix")
    return rows


def _answer(matrix: Matrix) -> Answer:
    return Answer("matrix", tuple(Answer("tuple", tuple(Answer("value", (cell,)) for cell in row), "row") for row in matrix))


def _evaluate(tree: tuple, matrices: list[Matrix]) -> Matrix | tuple:
    """A matrix, or the tree itself if it is a scalar."""
    kind, *parts = tree
    if kind == "name" and parts[0].startswith("vec M_"):
        return matrices[int(parts[0][6:])]
    if kind in ("number", "name"):
        return tree
    if kind == "neg":
        inner = _evaluate(parts[0], matrices)
        return ("neg", inner) if isinstance(inner, tuple) else _each(inner, lambda cell: ("neg", cell))
    if kind == "call":
        operands = [_evaluate(part, matrices) for part in parts[1:]]
    else:
        operands = a, b = [_evaluate(part, matrices) for part in parts]
    scalars = [isinstance(operand, tuple) for operand in operands]
    if all(scalars):
        return tree
    if kind == "*" and scalars[0] != scalars[1]:
        scalar, matrix = (a, b) if scalars[0] else (b, a)
        return _each(matrix, lambda cell: ("*", scalar, cell))
    if kind == "/" and scalars[1]:
        return _each(a, lambda cell: ("/", cell, b))
    if any(scalars) or kind not in ("+", "-", "*"):
        raise UnsupportedError("not a sum or product of matrices")
    if kind == "*":
        if len(a[0]) != len(b):
            raise UnsupportedError("matrices that do not fit")
        return [[_dot(row, column) for column in zip(*b, strict=True)] for row in a]
    if (len(a), len(a[0])) != (len(b), len(b[0])):
        raise UnsupportedError("matrices that do not fit")
    return [[(kind, x, y) for x, y in zip(*rows, strict=True)] for rows in zip(a, b, strict=True)]


def _each(matrix: Matrix, change) -> Matrix:
    return [[change(cell) for cell in row] for row in matrix]


def _dot(row: list[tuple], column: tuple[tuple, ...]) -> tuple:
    total = ("*", row[0], column[0])
    for x, y in zip(row[1:], column[1:], strict=True):
        total = ("+", total, ("*", x, y))
    return total
