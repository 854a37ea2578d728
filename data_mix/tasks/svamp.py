"""SVAMP, from the hub (`ChilleD/SVAMP`) or from jsonl or parquet with its fields Body, Question, Equation and Answer."""

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


def write(number: Fraction) -> str:
    """A number as one writes it: without `.0`, and as a fraction where no decimal ends."""
    if number.denominator == 1:
        return str(number.numerator)
    decimal = f"{float(number):.10g}"
    return decimal if Fraction(decimal) == number else str(number)


def solve(equation: str) -> tuple[list[str], Fraction]:
    """The operations of `( ( 3.0 + 2.0 ) * 4.0 )` in order, `3 + 2 = 5` and `5 * 4 = 20`, and the result.

    Raises:
        InputError: for anything but numbers, parentheses and + - * /.
    """
    steps: list[str] = []

    def value(node: ast.expr) -> Fraction:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return Fraction(str(node.value))
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            sign, apply = _OPERATORS[type(node.op)]
            left, right = value(node.left), value(node.right)
            result = apply(left, right)
            steps.append(f"{write(left)} {sign} {write(right)} = {write(result)}")
            return result
        raise InputError(f"`Equation` {equation!r} is not made of numbers and + - * /")

    try:
        return steps, value(ast.parse(equation.strip(), mode="eval").body)
    except (SyntaxError, ZeroDivisionError, RecursionError, MemoryError):
        raise InputError(f"`Equation` {equation!r} cannot be worked out") from None


def make_problem(record: dict, id: str) -> Problem:
    """A problem from one record: the steps are its equation's operations."""
    body = text_field(record, "Body")
    answer = text_field(record, "Answer", number=True)
    steps, result = solve(text_field(record, "Equation"))
    try:
        agrees = Fraction(answer) == result
    except ValueError:
        agrees = False
    if not agrees:
        raise InputError(f"`Answer` {answer} is not what `Equation` gives ({write(result)})")
    joined = body if body[-1] in ".!?," else f"{body}."
    return Problem(id, "svamp", f"{joined} {text_field(record, 'Question')}", tuple(steps), write(result), {"style": "gsm8k"})


def read(on_error: str, *, path: str = HUB, revision: str | None = None) -> Records:
    """Both splits."""
    return read_records("svamp", make_problem, on_error, path, revision)
