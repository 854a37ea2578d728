"""Mathematical expressions as people and models write them, LaTeX or plain: text to a tree, and a tree to numbers.

A recursive-descent parser over a fixed grammar; nothing is ever evaluated as Python. What it does not know raises UnknownError.
Every step is bounded: symbols of the text, nesting, and the size of every intermediate result.

Trees are nested tuples: ("number", Fraction), ("name", str), ("neg", a), ("+", a, b) and - * / ^, ("call", function, a, ...).
"""

import math
import re
import zlib
from collections.abc import Iterator
from fractions import Fraction

import mpmath

DIGITS = 50  # of the arithmetic with irrational numbers
CLOSE = mpmath.mpf(10) ** -35
_SYMBOLS = 256  # of an expression; the depth of its tree is no larger
_NESTING = 40  # of brackets
_BITS = 24_000  # of a numerator and a denominator together
_FACTORIAL = 2400
_ARGUMENT = 10**6  # of a function, and an exponent in inexact arithmetic
_TOKEN = re.compile(r"\s*(\\[A-Za-z]+|[0-9]+(?:\.[0-9]+)?|\.[0-9]+|[A-Za-z]+|\\?[{}|]|[-+*/^_()\[\]!,=<>])")
_FUNCTIONS = {
    **{name: name for name in ("sin", "cos", "tan", "cot", "sec", "csc", "ln", "exp", "log", "sinh", "cosh", "tanh")},
    **{name: "a" + name[3:] for name in ("arcsin", "arccos", "arctan")},
    "sqrt": "sqrt",
}
_GREEK = (
    "alpha beta gamma delta epsilon theta lambda mu nu rho sigma tau phi varphi omega Delta Omega kappa eta psi chi xi zeta"
)
_CONSTANTS = {"pi": mpmath.pi, "e": mpmath.e, "i": mpmath.j, "infty": mpmath.inf}
# Letters that stand beside each other are a product (`2xyz`), unless they spell a word.
_PRODUCTS = tuple(map(set, ("abcd", "xyzwt", "pqrs", "mnk", "rst", "uvw", "ijk", "abxy", "fgh")))


class UnknownError(Exception):
    """The text is not an expression that this parser knows, or too large a one."""


class TooLargeError(Exception):
    """Working it out would take more than the bounds allow."""


def parse(text: str) -> tuple:
    """The tree of an expression without relations.

    Raises:
        UnknownError: for anything else.
    """
    tokens = list(_tokens(text))
    if len(tokens) > _SYMBOLS:
        raise UnknownError("too many symbols")
    parser = _Parser(tokens)
    tree = parser.sum()
    if parser.at < len(tokens):
        raise UnknownError(f"unexpected {tokens[parser.at]!r}")
    return tree


def _tokens(text: str) -> Iterator[str]:
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise UnknownError(f"unexpected {text[at]!r}")
        at = match.end()
        token = match[1]
        if token.isalpha() and len(token) > 1 and token not in _FUNCTIONS and token not in ("pi", "infty"):
            if len(token) > 2 and not any(set(token) <= letters for letters in _PRODUCTS):
                raise UnknownError(f"a word, {token!r}")
            yield from token
        else:
            yield token.removeprefix("\\") if len(token) > 2 or token in ("\\{", "\\}", "\\|") else token


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at, self.depth = tokens, 0, 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, *wanted: str) -> str:
        token = self.peek()
        if not token or (wanted and token not in wanted):
            raise UnknownError(f"{' or '.join(wanted) or 'more'} expected, not {token!r}")
        self.at += 1
        return token

    def sum(self) -> tuple:
        self.depth += 1
        if self.depth > _NESTING:
            raise UnknownError("nested too deeply")
        tree = self.product()
        while self.peek() in ("+", "-"):
            tree = (self.take(), tree, self.product())
        self.depth -= 1
        return tree

    def product(self) -> tuple:
        tree = self.signed()
        while True:
            token = self.peek()
            if token in ("*", "/", "cdot", "times", "div"):
                self.take()
                tree = ("/" if token in ("/", "div") else "*", tree, self.signed())
            elif token and (token in "({|[" or token[0].isalnum() or token == "_") and token not in ("pm", "mp"):
                if token == "|" and self.closing_bar():
                    return tree
                tree = self.beside(tree)
            else:
                return tree

    def closing_bar(self) -> bool:
        return getattr(self, "bars", 0) > 0

    def beside(self, tree: tuple) -> tuple:
        """A product written without a sign; an integer beside a fraction of integers is a mixed number."""
        if self.peek() == "_":
            raise UnknownError("a number in another base")
        if tree[0] == "neg":
            return ("neg", self.beside(tree[1]))
        mixed = tree[0] == "number" and tree[1].denominator == 1 and self.peek() == "frac"
        right = self.power()
        if mixed and right[0] == "/" and right[1][0] == right[2][0] == "number":
            return ("+", tree, right)
        if right[0] == "number" and tree[0] == "number":
            raise UnknownError("two numbers side by side")
        return ("*", tree, right)

    def signed(self) -> tuple:
        negative = False
        while self.peek() in ("+", "-"):
            negative ^= self.take() == "-"
        return ("neg", self.power()) if negative else self.power()

    def power(self) -> tuple:
        tree = self.atom()
        while self.peek() in ("^", "!"):
            if self.take() == "!":
                tree = ("call", "factorial", tree)
            else:
                exponent = self.group() if self.peek() == "{" else ("neg", self.atom()) if self.minus() else self.atom()
                tree = ("^", tree, exponent)
        return tree

    def minus(self) -> bool:
        if self.peek() == "-":
            self.take()
            return True
        return False

    def group(self) -> tuple:
        self.take("{")
        tree = self.sum()
        self.take("}")
        return tree

    def argument(self) -> tuple:
        """A LaTeX argument: a group, or the single character that follows (`\\frac13`)."""
        token = self.peek()
        if token.isdigit() and len(token) > 1:
            self.tokens[self.at] = token[1:]
            return ("number", Fraction(token[0]))
        return self.group() if token == "{" else self.atom()

    def atom(self) -> tuple:
        token = self.take()
        if token[0].isdigit() or token[0] == ".":
            if self.peek() == "_":
                raise UnknownError("a number in another base")
            return ("number", Fraction(token))
        if token in ("(", "[", "{"):
            tree = self.sum()
            self.take({"(": ")", "[": "]", "{": "}"}[token])
            return tree
        if token == "|":
            self.bars = getattr(self, "bars", 0) + 1
            tree = self.sum()
            self.bars -= 1
            self.take("|")
            return ("call", "abs", tree)
        if token in ("frac", "binom"):
            a, b = self.argument(), self.argument()
            return ("/", a, b) if token == "frac" else ("call", "binom", a, b)
        if token in _FUNCTIONS:
            return self.function(_FUNCTIONS[token])
        if token.isalpha() and (len(token) == 1 or token in _GREEK.split() or token in _CONSTANTS):
            return ("name", token + self.subscript())
        raise UnknownError(f"unexpected {token!r}")

    def function(self, name: str) -> tuple:
        if name == "sqrt":
            if self.peek() == "[":
                self.take()
                index = self.sum()
                self.take("]")
                return ("^", self.argument(), ("/", ("number", Fraction(1)), index))
            return ("call", "sqrt", self.argument())
        base, exponent = (), None
        if name == "log" and self.peek() == "_":
            self.take()
            base = (self.argument(),)
        if self.peek() == "^":
            self.take()
            exponent = self.argument()
            if exponent[0] == "neg":
                raise UnknownError("an inverse function or a reciprocal")
        tree = ("call", name, self.power() if self.peek() in "({" else self.beside_names(), *base)
        return ("^", tree, exponent) if exponent else tree

    def beside_names(self) -> tuple:
        """The argument of `sin 2x`: numbers and names side by side."""
        tree = self.signed()
        while self.peek() and self.peek()[0].isalnum() and self.peek() not in _FUNCTIONS:
            tree = self.beside(tree)
        return tree

    def subscript(self) -> str:
        if self.peek() != "_":
            return ""
        self.take()
        if self.peek() != "{":
            return "_" + self.take()
        self.take()
        inside = []
        while self.peek() != "}":
            inside.append(self.take())
        self.take("}")
        return "_" + "".join(inside)


def names(tree: tuple) -> set[str]:
    """The variables of a tree."""
    found, left = set(), [tree]
    while left:
        kind, *parts = left.pop()
        if kind == "name":
            found.update(parts)
        left += [part for part in parts if isinstance(part, tuple)]
    return found - _CONSTANTS.keys()


def value(tree: tuple, point: int = 0):
    """The tree's value, a Fraction where it is rational, else a complex number of DIGITS digits.

    Variables stand for fixed numbers, other ones at every `point`, some negative: an identity holds at all of them.

    Raises:
        UnknownError: for a factorial or binomial of what has none.
        TooLargeError: when an intermediate result or an argument is beyond the bounds.
        ZeroDivisionError: at a pole.
    """
    kind = tree[0]
    if kind == "number":
        return tree[1]
    if kind == "name":
        return _CONSTANTS[tree[1]] + mpmath.mpf(0) if tree[1] in _CONSTANTS else _stand_in(tree[1], point)
    if kind == "neg":
        return -value(tree[1], point)
    if kind == "call":
        return _call(tree[1], [value(part, point) for part in tree[2:]])
    a, b = value(tree[1], point), value(tree[2], point)
    if kind == "^":
        return _power(a, b)
    if not (isinstance(a, Fraction) and isinstance(b, Fraction)):
        a, b = _inexact(a), _inexact(b)
    elif _bits(a) + _bits(b) > _BITS:
        raise TooLargeError("a number")
    return {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: a / b}[kind]()


def same_value(a: tuple, b: tuple) -> bool:
    """Whether two trees are equal, as numbers or as functions of their variables.

    Raises:
        UnknownError, TooLargeError: when they cannot be worked out.
    """
    return same_values(value, a, b, 4 if names(a) or names(b) else 1)


def same_values(evaluate, a, b, points: int) -> bool:
    """Whether `evaluate` gives the same of `a` and `b` at all points where both are defined, and those are half at least."""
    held = 0
    with mpmath.workdps(DIGITS):
        for point in range(points):
            try:
                if not equal_numbers(evaluate(a, point), evaluate(b, point)):
                    return False
                held += 1
            except ZeroDivisionError:
                if points == 1:
                    return False  # a number that is not one equals none
                continue
            except (ValueError, OverflowError, TypeError) as error:
                raise UnknownError(str(error)) from None
    if 2 * held < points:
        raise UnknownError("undefined")
    return True


def equal_numbers(x, y) -> bool:
    """Rationals exactly; with an irrational to 35 digits."""
    if isinstance(x, Fraction) and isinstance(y, Fraction):
        return x == y
    x, y = _inexact(x), _inexact(y)
    if mpmath.isinf(x) or mpmath.isinf(y):
        return x == y
    return abs(x - y) <= CLOSE * max(1, abs(x), abs(y))


def _stand_in(name: str, point: int) -> Fraction:
    number = zlib.crc32(f"{name}/{point}".encode())
    return Fraction(number % 9973 + 1, 4001) * (-1 if point % 2 and number % 3 else 1)


def _bits(x: Fraction) -> int:
    return x.numerator.bit_length() + x.denominator.bit_length()


def _inexact(x):
    return mpmath.mpf(x.numerator) / x.denominator if isinstance(x, Fraction) else x


def _power(a, b):
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        if b.denominator == 1:
            if abs(b) * max(a.numerator.bit_length(), a.denominator.bit_length()) > _BITS and abs(a) != 1:
                raise TooLargeError("a power")
            return a ** int(b)
        root = _exact_root(a, b.denominator)
        if root is not None:
            return _power(root, Fraction(b.numerator))
    a, b = _inexact(a), _inexact(b)
    if abs(b) > _ARGUMENT or abs(b) * abs(mpmath.log(abs(a), 2) if a else 0) > _BITS:
        raise TooLargeError("a power")
    if a == 0 and (b.real if isinstance(b, mpmath.mpc) else b) < 0:
        raise ZeroDivisionError
    return mpmath.power(a, b)


def _exact_root(a: Fraction, n: int) -> Fraction | None:
    if a < 0 or n > 64:
        return None
    parts = [round(mpmath.root(mpmath.mpf(part), n)) for part in (a.numerator, a.denominator)]
    root = Fraction(int(parts[0]), int(parts[1]) or 1)
    return root if root**n == a else None


def _call(name: str, arguments: list):
    x = arguments[0]
    if name == "factorial":
        if not isinstance(x, Fraction) or x.denominator != 1 or x < 0:
            raise UnknownError("a factorial of no natural number")
        if x > _FACTORIAL:
            raise TooLargeError("a factorial")
        return Fraction(math.factorial(int(x)))
    if name == "binom":
        n, k = arguments
        if not all(isinstance(v, Fraction) and v.denominator == 1 and v >= 0 for v in (n, k)):
            raise UnknownError("a binomial of no natural numbers")
        if max(n, k) > _FACTORIAL:
            raise TooLargeError("a binomial")
        return Fraction(math.comb(int(n), int(k)))
    if name == "abs":
        return abs(x)
    if name == "sqrt":
        return _power(x, Fraction(1, 2))
    x = _inexact(x)
    if name in ("log", "ln"):
        if x == 0:
            raise ZeroDivisionError
        base = _inexact(arguments[1]) if len(arguments) > 1 else mpmath.mpf(10) if name == "log" else mpmath.e
        return mpmath.log(x) / mpmath.log(base)
    if abs(x) > _ARGUMENT:
        raise TooLargeError("an argument")
    return getattr(mpmath, name)(x)
