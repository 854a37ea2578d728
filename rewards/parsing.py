"""Parses a mathematical expression, LaTeX or plain text, into a tree.

A recursive-descent parser over a fixed grammar; nothing is evaluated as Python. The number of tokens and the nesting depth
are bounded.

Trees are nested tuples: ("number", Fraction), ("name", str), ("neg", a), ("+", a, b) and - * / ^, ("call", function, a, ...).
"""

import re
from collections.abc import Iterator
from fractions import Fraction

CONSTANTS = ("pi", "e", "i", "infty")
_MAX_TOKENS = 256  # also bounds the depth of the tree
_MAX_NESTING = 40  # brackets
_TOKEN = re.compile(r"\s*(\\[A-Za-z]+|[0-9]+(?:\.[0-9]+)?|\.[0-9]+|[A-Za-z]+|\\?[{}|]|[-+*/^_()\[\]!,=<>'])")
_FUNCTIONS = {
    **{name: name for name in ("sin", "cos", "tan", "cot", "sec", "csc", "ln", "exp", "log", "sinh", "cosh", "tanh")},
    **{name: "a" + name[3:] for name in ("arcsin", "arccos", "arctan")},
    "sqrt": "sqrt",
}
_GREEK = (
    "alpha beta gamma delta epsilon theta lambda mu nu rho sigma tau phi varphi omega Delta Omega kappa eta psi chi xi zeta"
)
GREEK = tuple(_GREEK.split())
_WORDS = ("or", "if", "of", "to", "no", "on", "so", "is")  # never products
_ACCENTS = ("hat", "bar", "vec", "tilde")
_DEGREE = ("/", ("name", "pi"), ("number", Fraction(180)))
# Three or more adjacent letters are a product of variables (`xyz`) only if they come from one of these sets; else a word.
VARIABLES = tuple(map(set, ("abcd", "xyzwt", "pqrs", "mnk", "rst", "uvw", "ijk", "abxy", "fgh")))


class UnsupportedError(Exception):
    """The text is outside the grammar, too long or too deeply nested, or its value is undefined."""


def parse(text: str) -> tuple:
    """The tree of an expression without relations.

    Raises:
        UnsupportedError: for anything else.
    """
    tokens = list(_tokens(text))
    if len(tokens) > _MAX_TOKENS:
        raise UnsupportedError("too many tokens")
    parser = _Parser(tokens)
    tree = parser.sum()
    if parser.at < len(tokens):
        raise UnsupportedError(f"unexpected {tokens[parser.at]!r}")
    return tree


def variables(tree: tuple) -> set[str]:
    """The names of a tree's variables."""
    found, pending = set(), [tree]
    while pending:
        kind, *parts = pending.pop()
        if kind == "name":
            found.update(parts)
        pending += [part for part in parts if isinstance(part, tuple)]
    return found.difference(CONSTANTS)


def is_product(letters: str) -> bool:
    """Whether adjacent letters can be a product of variables."""
    return (len(letters) < 3 and letters not in _WORDS) or any(set(letters) <= names for names in VARIABLES)


def is_function(word: str) -> bool:
    """Whether a word is the name of a function or of a Greek letter."""
    return word in _FUNCTIONS or word in GREEK


def _tokens(text: str) -> Iterator[str]:
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise UnsupportedError(f"unexpected {text[at]!r}")
        at = match.end()
        token = match[1]
        if token.isalpha() and len(token) > 1 and token not in _FUNCTIONS and token not in ("pi", "infty"):
            if not is_product(token):
                raise UnsupportedError(f"unexpected word {token!r}")
            yield from token
        else:
            yield token.removeprefix("\\") if len(token) > 2 or token in ("\\{", "\\}", "\\|") else token


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at, self.depth = tokens, 0, 0
        self.open_bars = 0  # `|` that opened an absolute value
        self.functions = 0  # arguments of functions around the token, where a degree is pi/180

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, *wanted: str) -> str:
        token = self.peek()
        if not token or (wanted and token not in wanted):
            raise UnsupportedError(f"expected {' or '.join(wanted) or 'more'}, got {token!r}")
        self.at += 1
        return token

    def accept(self, token: str) -> bool:
        accepted = self.peek() == token
        self.at += accepted
        return accepted

    def sum(self) -> tuple:
        self.depth += 1
        if self.depth > _MAX_NESTING:
            raise UnsupportedError("nested too deeply")
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
                if token == "|" and self.open_bars:
                    return tree
                tree = self.implicit_product(tree)
            else:
                return tree

    def implicit_product(self, tree: tuple) -> tuple:
        """A product without an operator; an integer followed by a fraction of integers is a mixed number."""
        if self.peek() == "_":
            raise UnsupportedError("a number in another base")
        if tree[0] == "neg":
            return ("neg", self.implicit_product(tree[1]))
        mixed = tree[0] == "number" and tree[1].denominator == 1 and self.peek() == "frac"
        mixed = mixed and self.tokens[self.at - 1] != ")"  # `(2)` is a factor
        bracketed = self.peek() == "("
        right = self.power()
        if mixed and right[0] == "/" and right[1][0] == right[2][0] == "number":
            return ("+", tree, right)
        if right[0] == "number" and tree[0] == "number" and not bracketed:
            raise UnsupportedError("two adjacent numbers")
        return ("*", tree, right)

    def signed(self) -> tuple:
        negative = False
        while self.peek() in ("+", "-"):
            negative ^= self.take() == "-"
        return ("neg", self.power()) if negative else self.power()

    def power(self) -> tuple:
        tree = self.atom()
        while self.peek() in ("^", "!", "degree"):
            token = self.take()
            if token == "degree":  # a unit, except in the argument of a function
                tree = ("*", tree, _DEGREE) if self.functions else tree
            else:
                tree = ("call", "factorial", tree) if token == "!" else ("^", tree, self.exponent())
        return tree

    def exponent(self) -> tuple:
        if self.accept("-"):
            return ("neg", self.atom())
        return self.group() if self.peek() == "{" else self.atom()

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
                raise UnsupportedError("a number in another base")
            return ("number", Fraction(token))
        if token in ("(", "[", "{"):
            tree = self.sum()
            self.take({"(": ")", "[": "]", "{": "}"}[token])
            return tree
        if token == "|":
            self.open_bars += 1
            tree = self.sum()
            self.open_bars -= 1
            self.take("|")
            return ("call", "abs", tree)
        if token in ("frac", "binom"):
            a, b = self.argument(), self.argument()
            return ("/", a, b) if token == "frac" else ("call", "binom", a, b)
        if token in _FUNCTIONS:
            return self.function(_FUNCTIONS[token])
        if token.isalpha() and (len(token) == 1 or token in GREEK or token in CONSTANTS):
            return ("name", token + self.decorations())
        if token in _ACCENTS:
            name = self.argument()
            if name[0] == "name":
                return ("name", f"{token} {name[1]}{self.decorations()}")
        raise UnsupportedError(f"unexpected {token!r}")

    def function(self, name: str) -> tuple:
        if name == "sqrt":
            if self.accept("["):
                index = self.sum()
                self.take("]")
                return ("^", self.argument(), ("/", ("number", Fraction(1)), index))
            return ("call", "sqrt", self.argument())
        base = (self.argument(),) if name == "log" and self.accept("_") else ()
        exponent = self.argument() if self.accept("^") else None
        if exponent and exponent[0] == "neg":
            raise UnsupportedError("an inverse function or a reciprocal")
        self.functions += 1
        read = {"(": self.atom, "{": self.power}.get(self.peek(), self.bare_argument)  # sin(x)^2 is the square of the sine
        argument = read()
        while self.accept("degree"):  # of \\cos(30)^\\circ
            argument = ("*", argument, _DEGREE)
        tree = ("call", name, argument, *base)
        self.functions -= 1
        return ("^", tree, exponent) if exponent else tree

    def bare_argument(self) -> tuple:
        """A function's argument without brackets, as in `\\sin 2x`: adjacent numbers and names."""
        tree = self.signed()
        while self.peek() and self.peek()[0].isalnum() and self.peek() not in (*_FUNCTIONS, "cdot", "times", "div"):
            tree = self.implicit_product(tree)
        return tree

    def decorations(self) -> str:
        """What belongs to a name: primes, a subscript, and a superscript that is not a power (`x^*`, `I^{\\max}`)."""
        name = ""
        while self.peek() in ("'", "_", "^"):
            following = "".join(self.tokens[self.at + 1 : self.at + 3]).lstrip("{")
            if self.peek() == "^" and not following.startswith(("*", "max", "min", "'")):
                break
            name += self.take()
            if name[-1] != "'":
                name += self.script()
        return name

    def script(self) -> str:
        if not self.accept("{"):
            return self.take()
        name = ""
        while not self.accept("}"):
            name += self.take()
        return name
