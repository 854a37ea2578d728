r"""Removes formatting from a final answer.

The content of `\text{...}` matters later: words are not products of letters. So a phrase in it stays in double quotes.
"""

import re
import unicodedata

from rewards.parsing import UnsupportedError

MAX_LENGTH = 400  # characters; a longer answer is prose or an attack

_ENVIRONMENT = re.compile(r"(\\+)begin\s*\{")
_BACKSLASHES = re.compile(r"\\{2,}(?=[A-Za-z{}%$,;:!()\[\]|])")
_SPACES = re.compile(
    r"(?<!\\)\\(?:[,;:!]|q?quad\b|displaystyle\b|left(?:\.|(?![a-z]))|right(?:\.|(?![a-z]))|[bB]igg?[lr]?(?![a-z])|limits\b)"
)
_SPACE = re.compile(r"(?<!\\)\\ |~")
_FRACTIONS = re.compile(r"\\[dtc]frac(?![a-z])")
_GROUP = r"\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|[mh]box)\s*" + _GROUP)
_MATH = re.compile(r"\\(?:boxed|fbox|operatorname|mathrm|mathbf|mathit|mathsf|boldsymbol|underline|bf|rm)\s*" + _GROUP)
_ROMAN_UNIT = re.compile(r"(?<=[0-9A-Za-z)}])\s*\\(?:mathrm|rm)\s*\{(?!\s*[eidj]\s*\})([^{}0-9]*)\}")
_SQUARE_METRES = re.compile(r"(?<=[0-9])\s?([kcdm]?m)(?=[²³])")
_PHRASE = re.compile(r"[A-Za-z .'/-]*[A-Za-z][A-Za-z .'/-]*")
_INFINITY = re.compile(r"(?<![A-Za-z\\\"])(?:infinity|inf|oo)(?![A-Za-z\"])")
_DEGREES = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-z]))|°|\\degrees?(?![a-z])")
_SYMBOLS = str.maketrans(
    {
        "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ",
        "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "∪": r"\cup ", "±": r"\pm ", "√": r"\sqrt ", "\u200b": "",
        "\u00a0": " ", "€": "", "£": "", "∅": r"\emptyset ", '"': "", "\u2010": "-", "\u2011": "-",
        "⋅": r"\cdot ", "∈": r"\in ", "⩽": r"\le ", "⩾": r"\ge ",
    }
)  # fmt: skip
_SYNONYMS = {
    "leqslant": r"\le ", "geqslant": r"\ge ", "leq": r"\le ", "geq": r"\ge ", "lt": "<", "gt": ">", "neq": r"\ne ",
    "lvert": "|", "rvert": "|", "vert": "|", "infinity": r"\infty ", "ast": "*", "prime": "'",
}  # fmt: skip
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ]+")
_LOWERED = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_VULGAR = re.compile("[¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]")
_ROOT = re.compile(r"(?:√|(?<![A-Za-z\\])sqrt(?![A-Za-z]))\s*([0-9]+(?:\.[0-9]+)?)")  # `√12` is not `\sqrt12`, which is √1 · 2
_BETWEEN_DIGITS = re.compile(r"(?<=[0-9])(?:\\?[$%])+(?=[0-9])")  # `4$2` is not 42
_POWER = re.compile(r"(?<=[0-9A-Za-z)\]}])(?:\*\*|\s\*\*\s)(?=[0-9A-Za-z(\\-])")
_EMPHASIS = re.compile(r"(\*{1,3}|_{1,2}|`)(?=\S)(.+)(?<=\S)\1")
_DOTS = re.compile(r"\.{3,}|…|\\(?:l|c)?dots(?![A-Za-z])")
_COMMAND = re.compile(r"(?<!\\)\\(" + "|".join(_SYNONYMS) + r")(?![A-Za-z])")
_GROUP_COMMA = re.compile(r"(?<=[0-9])(?:,\s*\\!|\{,\})\s*(?=[0-9]{3}(?![0-9]))")  # 29,\!322 and 29{,}322; never a list
_TIMES = re.compile(r"(?<=[0-9])\s+x\s+(?=[0-9])")  # `6 x 7`
_UNION = re.compile(r"(?<=[)\]}])\s+U\s+(?=[(\[{\\])")  # `(1, 2) U (3, 4)`
# Space or a line break before `y =`: another answer, not a product
_NEXT_ANSWER = re.compile(
    r"(?<=[0-9A-Za-z)}\]])\s*(?:\\q?quad(?![a-z])|\\\\|\n)\s*(?=(?:[A-Za-z]|\\[a-z]+)(?:_\{?\w+\}?)?\s*=)"
)


def clean(text: str) -> str:
    """Removes formatting: math delimiters, spacing, `\\left`, wrappers, currency signs, doubled backslashes, a final period.

    Raises:
        UnsupportedError: when the normalized text is too long: NFKC expands one character to as many as 18.
    """
    text = _SQUARE_METRES.sub(r" \\text{\1}", text) if "²" in text or "³" in text else text
    if not text.isascii():
        text = _VULGAR.sub(lambda found: r"\frac{" + _nfkc(found).replace("⁄", "}{") + "}", text)
        text = _LOWERED.sub(lambda found: "_{" + _nfkc(found) + "}", text)
        text = _RAISED.sub(lambda found: "^{" + _nfkc(found) + "}", text)
    text = _without_emphasis(_ROOT.sub(r"\\sqrt{\1}", text).strip())
    text = unicodedata.normalize("NFKC", text.translate(_SYMBOLS)).translate(_SYMBOLS).strip()
    if len(text) > 2 * MAX_LENGTH:
        raise UnsupportedError("too long for an answer")
    if "=" in text and "\\begin" not in text:
        text = _NEXT_ANSWER.sub(", ", text)
    if "\\" in text:
        text = _single_backslashes(text)
    text = _without_dots(_POWER.sub("^", text))
    text = _BETWEEN_DIGITS.sub(" ", text)
    for sign in ("\\$", "$", "\\%", "%", "**"):
        text = text.replace(sign, "")
    text = re.sub(r"\\[()\[\]]", "", text) if text.startswith(("\\(", "\\[")) else text
    boxed = re.fullmatch(r"\\f?box(?:ed)?\s*\{(.*)\}", text)
    text = boxed[1] if boxed else text
    text = _GROUP_COMMA.sub("", text).replace("{,}", ",").replace("\\{", "\\lbrace ").replace("\\}", "\\rbrace ")
    text = _DEGREES.sub(r"\\degree ", _SPACES.sub("", _SPACE.sub(" ", text)))
    if "\\" in text:
        text = _COMMAND.sub(lambda found: _SYNONYMS[found[1]], _FRACTIONS.sub(r"\\frac", text))
        for _ in range(3):
            text = _MATH.sub(r" \1 ", _TEXT.sub(_quoted, _ROMAN_UNIT.sub(_quoted, text)))
    text = _UNION.sub(r"\\cup ", _TIMES.sub(r"\\times ", _INFINITY.sub(r"\\infty ", text)))
    return re.sub(r"\s+", " ", text).strip().rstrip(".").strip()


def _nfkc(found: re.Match) -> str:
    return unicodedata.normalize("NFKC", found[0])


def _without_emphasis(text: str) -> str:
    """The text without Markdown's signs around it."""
    found = _EMPHASIS.fullmatch(text)
    return found[2] if found and found[1] not in found[2] else text


def _without_dots(text: str) -> str:
    r"""The text with any dots as `\dots`, which no number has; a single number's at the end are only punctuation."""
    text = _DOTS.sub(r"\\dots ", text)
    before = text.rstrip().removesuffix("\\dots")
    return text if before == text.rstrip() or any(sign in before for sign in (",", "+", ".", "\\dots")) else before


def _single_backslashes(text: str) -> str:
    r"""Undoes the escaping of models trained on JSON: `\\frac` is `\frac`. In an environment, `\\` ends a row."""
    environment = _ENVIRONMENT.search(text)
    if environment:
        return (text.replace("\\\\", "\\") if len(environment[1]) > 1 else text).rstrip("\\")
    return _BACKSLASHES.sub(r"\\", text).replace("\\\\", " ").rstrip("\\")


def _quoted(found: re.Match) -> str:
    """A phrase in double quotes, without a leading or trailing `and` or `or`; text with digits, signs or parts as it is."""
    content = found[1]
    words = content.split()
    if not _PHRASE.fullmatch(content) or {"and", "or"}.intersection(words[1:-1]):
        return f" {content} "
    first = last = ""
    if words[0].lower() in ("and", "or"):
        first = words.pop(0).lower()
    if words and words[-1].lower() in ("and", "or"):
        last = words.pop().lower()
    return f" {first} " + (f'"{" ".join(words)}"' if words else "") + f" {last} "
