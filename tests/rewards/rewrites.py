r"""Rewrites of gold answers that keep the meaning; those that change it are in changes.py.

A rewrite returns another answer, or None where it does not apply. An answer with `\boxed` is a completion. README.md of
rewards/ has the rates.
"""

import re
from collections.abc import Callable, Iterator
from fractions import Fraction

from tests.rewards.golds import FRACTION, LETTERS, expression, is_list, number, parts

Rewrite = Callable[[str], str | None]
_FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
_ANY_FRACTION = re.compile(r"\\[dt]?frac(?=\{)")
_BEGIN = re.compile(r"\\(begin|end)\{pmatrix\}")


def _if(found, text: str) -> str | None:
    return text if found else None


def _whole(gold: str) -> str:
    """A positive or negative integer of up to 12 digits; "" for anything else."""
    plain = number(gold)
    return plain if re.fullmatch(r"-?[1-9]\d{0,11}", plain) else ""


def _changed(gold: str, text: str | None) -> str | None:
    return text if text != gold else None


def _sub(pattern: str, replacement: str, count: int = 0) -> Rewrite:
    return lambda gold: _changed(gold, re.sub(pattern, replacement, gold, count=count))


def _for_number(form: str) -> Rewrite:
    return lambda gold: _if(number(gold), form.replace("N", number(gold)))


def _for_whole(form: Callable[[int], str]) -> Rewrite:
    return lambda gold: form(int(_whole(gold))) if _whole(gold) else None


def _for_fraction(form: Callable[[str, int, int], str | None]) -> Rewrite:
    def rewrite(gold: str) -> str | None:
        found = FRACTION.fullmatch(gold.strip())
        return form(found[1], int(found[2]), int(found[3])) if found else None

    return rewrite


def _for_expression(form: str) -> Rewrite:
    return lambda gold: _if(expression(gold), form.replace("E", expression(gold)))


def _for_list(form: Callable[[list[str]], str | None]) -> Rewrite:
    return lambda gold: form(parts(gold)) if is_list(gold) else None


def _for_tuple(form: Callable[[list[str]], str | None]) -> Rewrite:
    """For points, not for intervals, whose ends cannot be told from a point's coordinates when they are finite."""

    def rewrite(gold: str) -> str | None:
        elements = parts(gold, "(", ")")
        return form(elements) if 1 < len(elements) < 7 and "infty" not in gold and "cup" not in gold else None

    return rewrite


def _for_word(form: Callable[[str], str]) -> Rewrite:
    def rewrite(gold: str) -> str | None:
        found = LETTERS.fullmatch(gold.strip())
        return _changed(gold, form(found[1])) if found else None

    return rewrite


def _decimal(sign: str, above: int, below: int) -> str | None:
    """A fraction as a finite decimal, or rounded to 16 decimals."""
    value = Fraction(above, below)
    rounded = Fraction(round(value * 10**16), 10**16)
    digits = str(rounded.numerator * 10**16 // rounded.denominator).zfill(17)
    finite = rounded == value
    return None if not finite and above < below / 1000 else f"{sign}{digits[:-16]}.{digits[-16:]}"


def _escaped(gold: str) -> str | None:
    return _if("\\" in gold, gold.replace("\\", "\\\\"))


def _boxes(joint: str) -> Rewrite:
    return _for_list(lambda each: joint.join(f"\\boxed{{{item}}}" for item in each))


def _equation(form: str) -> Rewrite:
    """For an equation of two expressions."""

    def rewrite(gold: str) -> str | None:
        sides = gold.strip().strip("$").split("=")
        if len(sides) != 2 or re.search(r"[,<>&%]|\\(?:text|le|ge|angle)|[A-Z]{2}|_", gold) or "(" in sides[0]:
            return None
        return form.replace("L", sides[0].strip()).replace("R", sides[1].strip())

    return rewrite


def _matrix(change: Callable[[str], str]) -> Rewrite:
    return lambda gold: _if(_BEGIN.match(gold.strip()) and "phantom" not in gold, change(gold.strip().rstrip(".")))


STYLES: dict[str, Rewrite] = {
    "dollars": lambda gold: _if("$" not in gold, f"${gold}$"),
    "double dollars": lambda gold: _if("$" not in gold, f"$${gold}$$"),
    "parentheses of LaTeX": lambda gold: _if("$" not in gold, f"\\({gold}\\)"),
    "spaces around it": lambda gold: f"  {gold} ",
    "a final period": lambda gold: f"{gold}.",
    "braces": lambda gold: _if("$" not in gold and not gold.strip().endswith("."), f"{{{gold}}}"),
    "a box in the box": lambda gold: f"\\boxed{{{gold}}}",
    "displaystyle": lambda gold: f"\\displaystyle {gold}",
    "bold Markdown": lambda gold: f"**{gold}**",
    "thin spaces": lambda gold: f"\\,{gold}\\,",
    "a quad": lambda gold: f"\\quad {gold}",
    "a negative space": lambda gold: f"\\!{gold}",
    "a tie": lambda gold: f"~{gold}",
    "a zero-width space": lambda gold: f"\u200b{gold}",
    "a no-break space": lambda gold: f"{gold}\u00a0",
    "a trailing line break of LaTeX": lambda gold: f"{gold}\\\\",
    "a line break": lambda gold: f"{gold}\n",
    "full-width digits": lambda gold: _changed(gold, gold.translate(_FULL_WIDTH)),
    "doubled backslashes": _escaped,
    "quadrupled backslashes": lambda gold: _if("\\" in gold and "begin" not in gold, gold.replace("\\", "\\\\\\\\")),
}

PRESERVING: dict[str, Rewrite] = {
    **STYLES,
    "dfrac": lambda gold: _changed(gold, _ANY_FRACTION.sub(r"\\dfrac", gold)),
    "tfrac": lambda gold: _changed(gold, _ANY_FRACTION.sub(r"\\tfrac", gold)),
    "left and right": lambda gold: _if("\\left" not in gold, gold.replace("(", "\\left(").replace(")", "\\right)")),
    "no left and right": _sub(r"\\(?:left|right)(?![a-z])", ""),
    "pi as a character": _sub(r"\\pi(?![a-z])\s*", "π"),
    "minus as a character": _sub("-", "−"),
    "infinity as a character": _sub(r"\\infty(?![a-z])", "∞"),
    "powers in braces": _sub(r"\^(\d)", r"^{\1}"),
    "no spaces in formulas": lambda gold: _if("\\" not in gold and "$" not in gold and ", " not in gold, gold.replace(" ", "")),
    "a dollar sign": _for_number("\\$N"),
    "percent": _for_number("N\\%"),
    "degrees": _for_number("N^\\circ"),
    "a unit": _for_number("N bags"),
    "a unit in text": _for_number("N\\text{ cm}^2"),
    "a rate": _for_number("N miles per hour"),
    "a unit symbol": _for_number("N km/h"),
    "x =": _for_number("x = N"),
    "f(x) =": _for_number("f(x) = N"),
    "a_n =": _for_number("a_n = N"),
    "a zero more": lambda gold: _if(number(gold), number(gold) + ("0" if "." in number(gold) else ".0")),
    "grouped digits": _for_whole(lambda n: f"{n:,}"),
    "grouped digits, braces": _for_whole(lambda n: f"{n:,}".replace(",", "{,}")),
    "grouped digits, MATH": _for_whole(lambda n: f"{n:,}".replace(",", ",\\! ")),
    "grouped digits, spaces": _for_whole(lambda n: f"{n:,}".replace(",", "\\,")),
    "ungrouped digits": lambda gold: _changed(gold, number(gold) or None),
    "a sum": _for_whole(lambda n: f"{n - 1} + 1"),
    "a product": _for_whole(lambda n: f"2 \\cdot {n} / 2"),
    "a quotient": _for_whole(lambda n: f"{2 * n}/2"),
    "a fraction": _for_whole(lambda n: f"\\frac{{{3 * n}}}{{3}}"),
    "a root": _for_whole(lambda n: f"{'-' * (n < 0)}\\sqrt{{{n * n}}}"),
    "a chain": _for_whole(lambda n: f"{n - 1} + 1 = {n}"),
    "a chain with units": _for_whole(lambda n: f"{n - 1} + 1 = {n} miles"),
    "a named chain": _for_whole(lambda n: f"x = {n - 1} + 1 = {n}"),
    "scientific notation": _for_whole(lambda n: f"{n}0 \\times 10^{{-1}}"),
    "a slash": _for_fraction(lambda s, a, b: f"{s}{a}/{b}"),
    "a short fraction": _for_fraction(lambda s, a, b: _if(a < 10 and b < 10, f"{s}\\frac{a}{b}")),
    "an expanded fraction": _for_fraction(lambda s, a, b: f"{s}\\frac{{{7 * a}}}{{{7 * b}}}"),
    "the sign inside a fraction": _for_fraction(lambda s, a, b: _if(s, f"\\frac{{-{a}}}{{{b}}}")),
    "a mixed number": _for_fraction(lambda s, a, b: _if(a > b and a % b, f"{s}{a // b}\\frac{{{a % b}}}{{{b}}}")),
    "a decimal": _for_fraction(_decimal),
    "a fraction with a unit": _for_fraction(lambda s, a, b: f"{s}\\frac{{{a}}}{{{b}}} \\text{{ cups}}"),
    "parentheses": _for_expression("(E)"),
    "zero added": _for_expression("0 + (E)"),
    "one as a factor": _for_expression("1 \\cdot (E)"),
    "two minus signs": _for_expression("-(-(E))"),
    "doubled and halved": _for_expression("\\frac{2(E)}{2}"),
    "expanded": _for_expression("3(E) - 2(E)"),
    "a name": lambda gold: _if(expression(gold) and not re.search("W|_", gold), f"W = {expression(gold)}"),
    "a Greek name": lambda gold: _if(expression(gold) and "theta" not in gold, f"\\theta = {expression(gold)}"),
    "a name with a subscript": _for_expression("W_{\\max} = E"),
    "another order": _for_list(lambda each: ", ".join(each[::-1])),
    "and": _for_list(lambda each: " \\text{ and } ".join((", ".join(each[:-1]), each[-1]))),
    "or": _for_list(lambda each: " or ".join(each)),
    "semicolons": _for_list(lambda each: "; ".join(each)),
    "a set": _for_list(lambda each: "\\{" + ", ".join(each) + "\\}"),
    "the same name": _for_list(lambda each: ", ".join(f"W = {item}" for item in each)),
    "separate boxes, commas": _boxes(", "),
    "separate boxes, and": _boxes(" and "),
    "separate boxes, or": _boxes("$ or $"),
    "separate boxes, text": _boxes(" \\text{ and } "),
    "a named tuple": _for_tuple(lambda each: f"({', '.join('uvwxyzstpqr'[: len(each)])}) = ({', '.join(each)})"),
    "a system of names": _for_tuple(
        lambda each: " \\text{ and } ".join(f"{n} = {v}" for n, v in zip("uvwxyz", each, strict=False))
    ),
    "cases": _for_tuple(
        lambda each: (
            "\\begin{cases} " + " \\\\ ".join(f"{n} = {v}" for n, v in zip("uvwxyz", each, strict=False)) + " \\end{cases}"
        )
    ),
    "swapped sides": _equation("R = L"),
    "twice the equation": _equation("2(L) = 2(R)"),
    "all on one side": _equation("L - (R) = 0"),
    "bmatrix": _matrix(lambda gold: _BEGIN.sub(r"\\\1{bmatrix}", gold)),
    "an array": _matrix(
        lambda gold: "\\left(" + gold.replace("{pmatrix}", "{array}").replace("n{array}", "n{array}{rrrr}") + "\\right)"
    ),
    "a matrix times one": _matrix(lambda gold: f"1 \\cdot {gold}"),
    "half a doubled matrix": _matrix(lambda gold: f"\\frac{{1}}{{2}} \\cdot 2 {gold}"),
    "capitals": _for_word(str.upper),
    "small letters": _for_word(str.lower),
    "a word in text": _for_word(lambda word: f"\\text{{{word}}}"),
    "a word in textnormal": _for_word(lambda word: f"\\textnormal{{{word}}}"),
    "a word in bold": _for_word(lambda word: f"\\textbf{{{word}}}"),
    "a word in a box": _for_word(lambda word: f"\\mbox{{ {word} }}"),
    "a bare word": _for_word(lambda word: word),
    "a base in braces": _sub(r"_(\d)$", r"_{\1}"),
}


def preserving(gold: str) -> Iterator[tuple[str, str]]:
    """The names and results of the rewrites that apply; styles are combined until there are at least 30."""
    n = 0
    for name, rewrite in PRESERVING.items():
        text = rewrite(gold)
        if text is not None:
            n += 1
            yield name, text
    inner = [
        (name, rewrite) for name, rewrite in STYLES.items() if name not in ("a trailing line break of LaTeX", "a line break")
    ]
    for outer in ("spaces around it", "bold Markdown", "a final period"):
        for name, rewrite in inner:
            text = rewrite(gold)
            if n < 30 and text is not None and name != outer:
                n += 1
                yield f"{outer}, {name}", STYLES[outer](text)
