"""Patches to sympy, tested with 1.14.0; installed only in the verifier's worker processes."""

import re

_NUMBER = re.compile(r"(Integer|Float) \('?([0-9.]+(?:[eE][+-]?[0-9]+)?)'? \)")


def convert_numbers() -> None:
    """Makes sympy convert numbers without Python's `eval` and reject any other text.

    Upstream: latex2sympy2_extended calls `sympy.Number(text)`; sympy/core/sympify.py passes the text to `parse_expr`, which
    rewrites it to Python code such as `Integer (12 )` and evaluates that.
    Remove when: `sympy.Number` converts text itself, or latex2sympy2_extended calls `Integer` and `Float`.
    """
    import sympy
    import sympy.physics.units  # parses unit names at import; otherwise imported on first use
    from sympy.parsing import sympy_parser

    def convert(code: str, *_):
        found = _NUMBER.fullmatch(code)
        if not found:
            raise ValueError(f"not a number: {code[:40]!r}")
        return sympy.Integer(int(found[2])) if found[1] == "Integer" else sympy.Float(found[2])

    sympy_parser.eval_expr = convert
