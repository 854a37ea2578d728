r"""Rewrites of gold answers that change the meaning; see rewrites.py."""

import re
from collections.abc import Callable, Iterator

from tests.rewards.golds import FRACTION, LETTERS, expression, is_list, number, parts

Rewrite = Callable[[str], str | None]
_BASE = re.compile(r"\d_\{?\d+\}?\.?$")


def _digits(gold: str) -> list[re.Match]:
    """Runs of digits whose value matters: no leading zeros, not in text."""
    return (
        []
        if "\\text" in gold or "\\mbox" in gold or "phantom" in gold
        else list(re.finditer(r"(?<![\d.])[1-9]\d*(?:\.\d*[1-9])?", gold))
    )


def _digit(which: int, change: Callable[[str], str]) -> Rewrite:
    """Changes the first (0) or last (-1) number."""

    def rewrite(gold: str) -> str | None:
        found = _digits(gold)
        if not found:
            return None
        at = found[which]
        new = change(at[0])
        return None if float(new or 0) == float(at[0]) else gold[: at.start()] + new + gold[at.end() :]

    return rewrite


def _value(form: str) -> Rewrite:
    """For a nonzero number or expression."""

    def rewrite(gold: str) -> str | None:
        plain = expression(gold)
        return form.replace("E", plain) if plain and not re.fullmatch(r"-?[0.]+|-?\\?infty", plain) else None

    return rewrite


def _number(form: str, one: bool = False) -> Rewrite:
    """For a number other than 0 and, unless `one`, other than 1 and -1."""

    def rewrite(gold: str) -> str | None:
        plain = number(gold)
        return form.replace("N", plain) if plain and (abs(float(plain)) not in (0, 1) or one and float(plain)) else None

    return rewrite


def _fraction(form: Callable[[str, int, int], str | None]) -> Rewrite:
    def rewrite(gold: str) -> str | None:
        found = FRACTION.fullmatch(gold.strip())
        return form(found[1], int(found[2]), int(found[3])) if found and int(found[2]) else None

    return rewrite


def _elements(form: Callable[[list[str]], str | None]) -> Rewrite:
    """For a list, and a tuple or interval with its brackets."""

    def rewrite(gold: str) -> str | None:
        for opening, closing in (("(", ")"), ("[", "]"), ("(", "]"), ("[", ")"), ("", "")):
            each = parts(gold, opening, closing)
            if each and "cup" not in gold and not (number(gold) and not opening):
                changed = form(each)
                return changed and opening + changed + closing
        return None

    return rewrite


def _tuple(form: Callable[[list[str]], str | None]) -> Rewrite:
    return lambda gold: form(parts(gold, "(", ")")) if parts(gold, "(", ")") and "cup" not in gold else None


def _list(form: Callable[[list[str]], str | None]) -> Rewrite:
    return lambda gold: form(parts(gold)) if is_list(gold) else None


def _word(form: Callable[[str], str | None]) -> Rewrite:
    def rewrite(gold: str) -> str | None:
        found = LETTERS.fullmatch(gold.strip())
        return form(found[1]) if found else None

    return rewrite


def _sub(pattern: str, replacement: str) -> Rewrite:
    """Replaces the first match in anything but text."""

    def rewrite(gold: str) -> str | None:
        changed = re.sub(pattern, replacement, gold, count=1)
        return changed if changed != gold and "\\text" not in gold and "\\mbox" not in gold else None

    return rewrite


def _swapped(word: str) -> str | None:
    at = next((i for i in range(len(word) - 1) if word[i].lower() != word[i + 1].lower()), None)
    return None if at is None else word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _swap_digits(digits: str) -> str:
    at = next((i for i in range(len(digits) - 1) if digits[i] != digits[i + 1] and digits[i : i + 2].isdigit()), None)
    return digits if at is None else digits[:at] + digits[at + 1] + digits[at] + digits[at + 2 :]


def _reversed(each: list[str]) -> str | None:
    return ", ".join(each[::-1]) if each[::-1] != each and "infty" not in "".join(each) else None


def _rows(gold: str) -> str | None:
    """A matrix with its first and last row swapped."""
    found = re.fullmatch(r"(\\begin\{pmatrix\})(.*)(\\end\{pmatrix\})\.?", gold.strip())
    rows = [row.strip() for row in found[2].split("\\\\")] if found else []
    return found[1] + " \\\\ ".join(rows[::-1]) + found[3] if rows != rows[::-1] else None


def _row(gold: str) -> str | None:
    """A column as a row."""
    plain = gold.strip()
    return plain.replace("\\\\", "&") if "{pmatrix}" in plain and "&" not in plain and "phantom" not in plain else None


def _bare(gold: str) -> str:
    return gold.strip().rstrip(".").replace("\\$", "").strip("$")


def _relation(gold: str) -> str | None:
    """The other side of an equation plus one."""
    sides = gold.strip().strip("$.").split("=")
    return (
        f"{sides[0]}= 1 + ({sides[1]})" if len(sides) == 2 and not re.search(r"[,<>&%]|\\(?:text|le|ge|angle)", gold) else None
    )


CHANGING: dict[str, Rewrite] = {
    "the first digit": _digit(0, lambda d: str(int(d[0]) % 9 + 1) + d[1:]),
    "the last digit": _digit(-1, lambda d: d[:-1] + str((int(d[-1]) + 1) % 10)),
    "a digit inserted": _digit(0, lambda d: d[0] + "7" + d[1:]),
    "a digit appended": _digit(-1, lambda d: d + "3"),
    "a digit dropped": _digit(0, lambda d: d[1:] if len(d) > 1 and d[1] != "." else d),
    "digits swapped": _digit(0, _swap_digits),
    "a decimal point": _digit(0, lambda d: d[0] + "." + d[1:] if len(d) > 1 and "." not in d else d),
    "a sign": _value("-(E)"),
    "a sign in front": lambda gold: f"-{number(gold)}".replace("--", "") if float(number(gold) or 0) else None,
    "one added": _value("(E) + 1"),
    "a tenth": _value("(E)/10"),
    "a hundredth": _value("(E)/100"),
    "ten times": _value("10(E)"),
    "a variable as a factor": _value("(E)\\omega"),
    "the imaginary unit": _value("(E)i"),
    "a small error": _value("E + 0.0000001"),
    "epsilon": _value("E + \\epsilon"),
    "a square": _number("N^2"),
    "a root": _number("\\sqrt{N}"),
    "a factorial": lambda gold: f"{number(gold)}!" if re.fullmatch(r"[3-9]|[1-9]\d+", number(gold)) else None,
    "a reciprocal": _number("1/N"),
    "plus or minus": _value("\\pm (E)"),
    "an alternative": _value("E \\text{ or } 12345"),
    "another box": _value("\\boxed{12345} and \\boxed{E}"),
    "a doubled box": _value("\\boxed{E}, or \\boxed{E}"),
    "a list": _value("E, 12345"),
    "a tuple": _value("(E, E)"),
    "not": _value("\\text{not } E"),
    "denied": _value("E \\text{ is wrong}"),
    "a false chain": _value("12345 = E"),
    "a false end": _value("E = 12345"),
    "an inequality": _value("x > E"),
    "another relation": _value("x \\ne E"),
    "a million": _number("N \\text{ million}", one=True),
    "a dozen": _number("N dozen", one=True),
    "another base": lambda gold: f"{number(gold)}_9" if re.fullmatch(r"\d+", number(gold)) else None,
    "a base more": _sub(r"_\{?(\d+)\}?\.?$", lambda found: f"_{{{int(found[1]) + 1}}}"),
    "no base": lambda gold: gold.split("_")[0] if _BASE.search(gold) and not gold.endswith("_{10}") else None,
    "upside down": _fraction(lambda s, a, b: f"{s}\\frac{{{b}}}{{{a}}}" if a != b else None),
    "the numerator": _fraction(lambda s, a, b: f"{s}{a}" if b != 1 else None),
    "three decimals": _fraction(lambda s, a, b: f"{s}{a / b:.3f}" if 1000 * a % b else None),
    "eight digits": _fraction(lambda s, a, b: f"{s}{a / b:.8g}" if 10**20 * a % b else None),
    "the last decimal": _fraction(lambda s, a, b: f"{s}{a / b + 2e-10:.10f}" if 10**10 * a % b else None),
    "a number before it": _fraction(lambda s, a, b: f"{s}1 \\frac{{{a}}}{{{b}}}"),
    "a dropped element": _elements(lambda each: ", ".join(each[:-1]) if len(each) > 2 else None),
    "a dropped first element": _elements(lambda each: ", ".join(each[1:]) if len(each) > 2 else None),
    "an element twice": _elements(lambda each: ", ".join((*each, each[0]))),
    "an element more": _elements(lambda each: ", ".join((*each, "12345"))),
    "an element changed": _elements(lambda each: ", ".join(("12345", *each[1:]))),
    "a single element": _list(lambda each: each[-1]),
    "a list as a tuple": _list(lambda each: f"({', '.join(each)})"),
    "a tuple in another order": _tuple(lambda each: (text := _reversed(each)) and f"({text})"),
    "a tuple as a list": _tuple(lambda each: ", ".join(each)),
    "a tuple as a set": _tuple(lambda each: f"\\{{{', '.join(each)}\\}}"),
    "closed": _tuple(lambda each: f"[{', '.join(each)}]"),
    "half open": _tuple(lambda each: f"({', '.join(each)}]"),
    "another name's value": _tuple(lambda each: f"(y, x) = ({each[0]}, {each[1]})" if len(each) == 3 else None),
    "names swapped": _tuple(
        lambda each: (
            f"x = {each[1]}, y = {each[0]}" if len(each) == 2 and each[0] != each[1] and "infty" not in str(each) else None
        )
    ),
    "an open end": _sub(r"\]", ")"),
    "a closed end": _sub(r"(?<=\d)\)(?= ?\\cup)", "]"),
    "one interval only": lambda gold: gold.split("\\cup")[0] if "\\cup" in gold and "(" in gold else None,
    "a minus as a plus": _sub(r"(?<=[\w})]) ?- ?(?=[\w\\(])", " + "),
    "a plus as a minus": _sub(r"(?<=[\w})]) ?\+ ?(?=[\w\\(])", " - "),
    "another variable": lambda gold: (
        None if re.search(r"\\in(?![a-z])|\\le", gold) else _sub(r"(?<![A-Za-z\\{])x(?![A-Za-z])", "q")(gold)
    ),
    "a square dropped": _sub(r"\^(?:2(?!\d)|\{2\})", ""),
    "a root dropped": _sub(r"\\sqrt\{(\d+)\}", r"{\1}"),
    "pi dropped": _sub(r"(?<=[\d}]) ?\\pi(?![a-z])", ""),
    "an equation changed": _relation,
    "rows swapped": _rows,
    "a column as a row": _row,
    "a doubled matrix": lambda gold: (
        f"2 {gold.strip()}" if gold.strip().startswith("\\begin{pmatrix}") and re.search("[1-9]", gold) else None
    ),
    "letters swapped": _word(_swapped),
    "a letter changed": _word(lambda word: ("q" if word[0].lower() != "q" else "z") + word[1:]),
    "a letter dropped": _word(lambda word: word[:-1]),
    "a letter appended": _word(lambda word: word + "s"),
    "a word before it": _word(lambda word: f"\\text{{not {word}}}"),
    "two words": _word(lambda word: f"\\text{{{word}}} or \\text{{another}}"),
    "text reversed": _word(lambda word: word[::-1] if word.lower() != word[::-1].lower() else None),
    "an initial": _word(lambda word: word[0]),
    "not the gold": lambda gold: f"\\text{{not }} {_bare(gold)}",
    "or something else": lambda gold: f"{_bare(gold)} \\text{{ or }} 12345",
    "and something else": lambda gold: f"{_bare(gold)}, 12345",
    "something else first": lambda gold: f"12345; {_bare(gold)}",
    "negated": lambda gold: f"\\neg ({_bare(gold)})",
}


def changing(gold: str) -> Iterator[tuple[str, str]]:
    """The names and results of the rewrites that apply; errors are wrapped in text styles until there are at least 30."""
    n = 0
    applied = []
    for name, rewrite in CHANGING.items():
        text = rewrite(gold)
        if text is not None:
            n += 1
            applied.append((name, text))
            yield name, text
    for style in ("{%s}", "**%s**", "\\displaystyle %s", "%s.", "\\,%s", " %s ", "\\quad %s", "~%s", "\\!%s"):
        for name, text in applied:
            if n < 30 and "\\boxed" not in text:
                n += 1
                yield f"{name}, {style}", style.replace("%s", text)
