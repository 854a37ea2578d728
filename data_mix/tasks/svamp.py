"""SVAMP, from the hub (`ChilleD/SVAMP`), or from jsonl or parquet with its fields Body, Question, Equation and Answer."""

import ast
import operator
from fractions import Fraction

from data_mix.errors import InputError
from data_mix.problem import Problem
from data_mix.reading import Records, read_records, text_field

PROMPT_FORMAT = "chat"
HUB = "ChilleD/SVAMP"
_OPERATORS = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
}


def format_number(number: Fraction) -> str:
    """Formats a number without `.0`; as a fraction if its decimal expansion does not terminate."""
    if number.denominator == 1:
        return str(number.numerator)
    decimal = f"{float(number):.10g}"
    return decimal if Fraction(decimal) == number else str(number)


def solve(equation: str) -> tuple[list[str], Fraction]:
    """The operations of an equation in order, and its result: `( 3.0 + 2.0 ) * 4.0` gives `3 + 2 = 5`, `5 * 4 = 20`, and 20.

    Raises:
        InputError: for anything but numbers, parentheses and + - * /, and for division by zero.
    """
    steps: list[str] = []

    def value(node: ast.expr) -> Fraction:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return Fraction(str(node.value))
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            sign, apply = _OPERATORS[type(node.op)]
            left, right = value(node.left), value(node.right)
            result = apply(left, right)
            steps.append(f"{format_number(left)} {sign} {format_number(right)} = {format_number(result)}")
            return result
        raise InputError(f"`Equation` {equation!r} contains more than numbers and + - * /")

    try:
        return steps, value(ast.parse(equation.strip(), mode="eval").body)
    except InputError:
        raise
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
        raise InputError(f"`Equation` {equation!r} cannot be evaluated") from None


def make_problem(record: dict, id: str) -> Problem:
    """Parses a record; the steps are the operations of its equation."""
    body = text_field(record, "Body")
    answer = text_field(record, "Answer", number=True)
    steps, result = solve(text_field(record, "Equation"))
    try:
        agrees = Fraction(answer) == result
    except (ValueError, ZeroDivisionError):
        agrees = False
    if not agrees:
        raise InputError(f"`Answer` is {answer}, but `Equation` gives {format_number(result)}")
    prompt = f"{body}{'' if body[-1] in '.!?,' else '.'} {text_field(record, 'Question')}"
    return Problem(id, "svamp", prompt, tuple(steps), format_number(result), {"style": "gsm8k"})


def read(on_error: str, *, path: str = HUB, revision: str | None = None) -> Records:
    """Reads both splits."""
    return read_records("svamp", make_problem, on_error, path, revision)
