"""Evaluates and compares expression trees (parsing.py): rationals exactly, everything else to 50 digits.

The size of every intermediate result is bounded.
"""

import math
import operator
import zlib
from collections.abc import Callable
from fractions import Fraction

import mpmath

from rewards.parsing import UnsupportedError, variables

Number = Fraction | mpmath.mpf | mpmath.mpc
DIGITS = 50  # working precision for irrational numbers
_TOLERANCE = mpmath.mpf(10) ** -35  # relative
_ZERO = mpmath.mpf(10) ** -40  # the largest rounding error of a number that should be zero
_MAX_BITS = 24_000  # numerator and denominator together
_MAX_FACTORIAL = 2400
_MAX_ARGUMENT = 10**6  # of a function; also the largest inexact exponent
_OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
_CONSTANTS = {"pi": mpmath.pi, "e": mpmath.e, "i": mpmath.j, "infty": mpmath.inf}


class TooLargeError(Exception):
    """An intermediate result exceeds the bounds."""


def value(tree: tuple, point: int = 0) -> Number:
    """The value of a tree: a Fraction if every step is rational, else an mpmath number.

    Each variable is replaced by a fixed rational that depends on its name and on `point`; some are negative at odd points.

    Raises:
        UnsupportedError: for the factorial or binomial of anything but natural numbers.
        TooLargeError: when an intermediate result or an argument exceeds the bounds.
        ZeroDivisionError: at a pole.
    """
    kind = tree[0]
    if kind == "number":
        return tree[1]
    if kind == "name":
        return _CONSTANTS[tree[1]] + mpmath.mpf(0) if tree[1] in _CONSTANTS else _substitute(tree[1], point)
    if kind == "neg":
        return -value(tree[1], point)
    if kind == "call":
        return _call(tree[1], [value(part, point) for part in tree[2:]])
    a, b = value(tree[1], point), value(tree[2], point)
    if kind == "^":
        return _power(a, b)
    if not (isinstance(a, Fraction) and isinstance(b, Fraction)):
        a, b = inexact(a), inexact(b)
    elif _bits(a) + _bits(b) > _MAX_BITS:
        raise TooLargeError("a number is too large")
    return _OPERATIONS[kind](a, b)


def equal_trees(a: tuple, b: tuple) -> bool:
    """Whether two trees are equal as numbers or, if they have variables, at four points.

    Raises:
        UnsupportedError, TooLargeError: when they cannot be evaluated.
    """
    points = 4 if variables(a) or variables(b) else 1
    return equal_at_points(lambda point: value(a, point), lambda point: value(b, point), points)


def rounds_to(exact: tuple, decimal: tuple, places: int) -> bool:
    """Whether an expression without variables rounds to a decimal with that many places."""
    if variables(exact):
        return False
    with mpmath.workdps(DIGITS):
        try:
            return bool(2 * abs(inexact(value(exact)) - inexact(value(decimal))) <= inexact(Fraction(1, 10**places)))
        except ZeroDivisionError:
            return False


def equal_at_points(f: Callable[[int], Number], g: Callable[[int], Number], points: int) -> bool:
    """Whether f and g agree wherever both are defined.

    Raises:
        UnsupportedError: when they are defined at fewer than half of several points, or cannot be evaluated.
        TooLargeError: when an intermediate result exceeds the bounds at the first of several points.
    """
    defined = 0
    with mpmath.workdps(DIGITS):
        for point in range(points):
            try:
                if not _equal_numbers(f(point), g(point)):
                    return False
                defined += 1
            except ZeroDivisionError:
                if points == 1:
                    return False  # an undefined number equals nothing
            except TooLargeError:
                if 2 * point < points:  # the others have larger values
                    raise
            except (ValueError, OverflowError, TypeError) as error:
                raise UnsupportedError(str(error)) from None
    if 2 * defined < points:
        raise UnsupportedError("undefined")
    return True


def inexact(x: Number) -> Number:
    """A Fraction as an mpmath float; any other number unchanged."""
    return mpmath.mpf(x.numerator) / x.denominator if isinstance(x, Fraction) else x


def _equal_numbers(x: Number, y: Number) -> bool:
    """Exact for two rationals, else to 35 significant digits."""
    if isinstance(x, Fraction) and isinstance(y, Fraction):
        return x == y
    x, y = inexact(x), inexact(y)
    if mpmath.isinf(x) or mpmath.isinf(y):
        return x == y
    return abs(x - y) <= (_TOLERANCE * max(abs(x), abs(y)) if x and y else _ZERO)


def _substitute(name: str, point: int) -> Fraction:
    """Up to 2.5 at points 0 and 1, up to 100 at points 2 and 3: `|x - 5|` is `5 - x` for small x alone.

    Negative at point 1 or 3 or both: `|x|` is not x.
    """
    number = zlib.crc32(f"{name}/{point}".encode())
    negative = point % 2 and (number % 3 or point == 3 and zlib.crc32(f"{name}/1".encode()) % 3 == 0)
    return Fraction(number % 9973 + 1, 4001) * (1, 1, 40, 40)[point % 4] * (-1 if negative else 1)


def _bits(x: Fraction) -> int:
    return x.numerator.bit_length() + x.denominator.bit_length()


def _power(a: Number, b: Number) -> Number:
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        if b.denominator == 1:
            if abs(b) * max(a.numerator.bit_length(), a.denominator.bit_length()) > _MAX_BITS and abs(a) != 1:
                raise TooLargeError("a power is too large")
            return a ** int(b)
        root = _exact_root(a, b.denominator)
        if root is not None:
            return _power(root, Fraction(b.numerator))
    a, b = inexact(a), inexact(b)
    if abs(b) > _MAX_ARGUMENT or abs(b) * abs(mpmath.log(abs(a), 2) if a else 0) > _MAX_BITS:
        raise TooLargeError("a power is too large")
    if a == 0 and (b.real if isinstance(b, mpmath.mpc) else b) < 0:
        raise ZeroDivisionError
    return mpmath.power(a, b)


def _exact_root(a: Fraction, n: int) -> Fraction | None:
    """The n-th root if it is rational, else None."""
    if a < 0 or n > 64:
        return None
    parts = [round(mpmath.root(mpmath.mpf(part), n)) for part in (a.numerator, a.denominator)]
    root = Fraction(int(parts[0]), int(parts[1]) or 1)
    return root if root**n == a else None


def _call(name: str, arguments: list[Number]) -> Number:
    x = arguments[0]
    if name in ("factorial", "binom"):
        if not all(isinstance(v, Fraction) and v.denominator == 1 and v >= 0 for v in arguments):
            raise UnsupportedError(f"{name} of something other than natural numbers")
        if max(arguments) > _MAX_FACTORIAL:
            raise TooLargeError(f"{name} of a number above {_MAX_FACTORIAL}")
        return Fraction((math.factorial if name == "factorial" else math.comb)(*map(int, arguments)))
    if name == "abs":
        return abs(x)
    if name == "sqrt":
        return _power(x, Fraction(1, 2))
    x = inexact(x)
    if name in ("log", "ln"):
        if x == 0:
            raise ZeroDivisionError
        base = inexact(arguments[1]) if len(arguments) > 1 else mpmath.mpf(10) if name == "log" else mpmath.e
        return mpmath.log(x) / mpmath.log(base)
    if abs(x) > _MAX_ARGUMENT:
        raise TooLargeError(f"an argument above {_MAX_ARGUMENT}")
    return getattr(mpmath, name)(x)
