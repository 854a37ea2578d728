"""Patches to sympy, tested with 1.14.0. For the verifier's worker processes only."""

import re

_NUMBER = re.compile(r"(Integer|Float) \('?([0-9.]+(?:[eE][+-]?[0-9]+)?)'? \)")


def convert_numbers() -> None:
    """Has sympy read numbers without Python's `eval`, and refuse any other text.

    Upstream: latex2sympy2_extended makes numbers with `sympy.Number(text)`; sympy/core/sympify.py hands the text to
    `parse_expr`, which evaluates it as Python code: `Integer (12 )` by then.
    Remove when: `sympy.Number` converts text itself, or latex2sympy2_extended calls `Integer` and `Float`.
    """
    import sympy
    import sympy.physics.units  # which parses the names of its units, and would be imported at the first need
    from sympy.parsing import sympy_parser

    def convert(code: str, *_):
        found = _NUMBER.fullmatch(code)
        if not found:
            raise ValueError(f"no number: {code[:40]!r}")
        return sympy.Integer(int(found[2])) if found[1] == "Integer" else sympy.Float(found[2])

    sympy_parser.eval_expr = convert
