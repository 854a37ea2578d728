r"""Extracts the final answer of a completion according to its answer style.

    parity          the text consists of bits; the answer is the last one
    multiplication  the text consists of steps; the answer is the last number, with its digits reversed
    gsm8k           the text after the last `####` that is not a Markdown heading (`#### Explanation`)
    boxed           the content of the last `\boxed{...}` or `\fbox{...}`; several boxes in a list form one answer
    auto            boxed if the text contains a box, otherwise gsm8k

Strict extraction accepts only the style's own marker. Lenient extraction lets gsm8k and boxed fall back on each other's marker
and then on "the answer is ...". Numbers elsewhere in the text never count, so a completion cut before its answer has none.
An empty marker means no answer; earlier text does not replace it.
With a reasoning block, `<think>...</think>`, only the text after it counts.

Every pattern runs in linear time: a match that spans whitespace can only start where the whitespace does.
"""

import re

from rewards.boxed import has_box, last_boxes
from rewards.units import NOT_UNITS

MAX_LENGTH = 20_000  # only the last characters of the text are searched

_HASHES = re.compile(r"####[ \t]*([^\n]*)")
# Markdown's headings, some of which follow the answer
_HEADING = re.compile(r"(?i)(?:step\b.*|(?:the )?(?:final )?(?:answer|solution|conclusion|reasoning|summary))\W*")
_AFTERWORD = re.compile(r"(?i)(?:explanation|verification|check|note)\W*")
_ANNOTATION = re.compile(r"<<[^<>]*>>")  # of GSM8K's calculator
_PHRASE = re.compile(
    r"(?i)\banswer\b(?:\*\*)?\s*(?:is\b|[:=])\s*(?:\*\*)?[ \t]*:?[ \t]*(?:(?:approximately|therefore|thus|simply)\s)?"
)
_SENTENCE_END = re.compile(r"(?<!\b[A-Z])[.!](?=\s+[A-Z*]|\s*$)|\.(?=\*\*)|(?i:(?:,|(?<!\s))\s+(?:because|since|so|which)\b)")
_FORMULA = re.compile(r"\$+([^$]+)\$+|\\\((.+?)\\\)|\\\[(.+?)\\\]")
_PROSE = re.compile(r"(?<![A-Za-z\\{])[a-z]{3,} ")
# What follows a formula belongs to the answer: `$5$ or $6$`, `$5$ million`, but not `$5$ apples`.
_WORDS = "|".join(sorted(NOT_UNITS - {"is", "are", "was", "if", "and", "answer"}))
_GOES_ON = re.compile(rf"\$|\\\(|\\\[|[0-9]|(?i:\b(?:{_WORDS})\b)")
_BITS = re.compile(r"[01]+")
_PRODUCTS = re.compile(r"(?:[0-9]+(?:=[0-9]+)?;)*(?:[0-9]+=)?([0-9]+)")
_END_OF_TEXT = re.compile(r"<\|(?:endoftext|end_of_text|eot_id|im_end|im_start|eom_id)\|>|</s>|<end>")


def choose_style(text: str) -> str:
    """The style that `auto` stands for: boxed if the part of the text that counts has a box, otherwise gsm8k."""
    return "boxed" if has_box(_final_part(text)) else "gsm8k"


def extract(text: str, style: str) -> tuple[str | None, bool]:
    """The final answer in `text`, or None, and whether the style's own marker was there (required for strict scoring)."""
    if style in ("parity", "multiplication"):
        text = _before_end(text).strip()
    if style == "parity":
        return (text[-1] if _BITS.fullmatch(text) else None), True
    if style == "multiplication":
        found = _PRODUCTS.fullmatch(text)
        return (found.group(1)[::-1].lstrip("0") or "0" if found else None), True
    if style == "auto":
        style = choose_style(text)
    text = _final_part(text)
    finders = [_find_hashes, _find_boxed] if style == "gsm8k" else [_find_boxed, _find_hashes]
    for find in (*finders, _find_phrase):
        answer = find(text)
        if answer is not None:
            return answer.strip() or None, find is finders[0]
    return None, False


def _before_end(text: str) -> str:
    """The text before the first token that ends a completion."""
    return _END_OF_TEXT.split(text, maxsplit=1)[0]


def _final_part(text: str) -> str:
    """The text after the last reasoning block; "" if a block is not finished. `<think>` may be part of the prompt."""
    text = _before_end(text).rpartition("</think>")[2]
    return "" if "<think>" in text else text[-MAX_LENGTH:]


def _find_boxed(text: str) -> str | None:
    """The content of the last box, or of a list of boxes; "" if the last is empty or not closed; None without a box."""
    return last_boxes(text) or ("" if has_box(text) else None)


def _find_hashes(text: str) -> str | None:
    """The rest of the line after the last `####` that is no heading; None if a heading announces the answer."""
    found = [_ANNOTATION.sub("", line).strip("# \t") for line in _HASHES.findall(text)]
    while len(found) > 1 and _AFTERWORD.fullmatch(found[-1]):
        found.pop()
    if not found or _HEADING.fullmatch(found[-1]):
        return None
    line = found[-1]
    phrase = _find_phrase(line)
    return line if phrase is None else phrase


def _find_phrase(text: str) -> str | None:
    """The text after the last "the answer is": the math that it starts with, else the rest of the sentence."""
    found = list(_PHRASE.finditer(text))
    if not found:
        return None
    tail = text[found[-1].end() :].lstrip(" *\n").split("\n", 1)[0].rstrip(" *")
    math = _FORMULA.match(tail)
    formula = next(filter(None, math.groups())) if math else ""
    if formula and not _PROSE.search(formula):  # not `$18, since $`, where each is a currency sign
        rest = _SENTENCE_END.split(tail[math.end() :])[0]
        return math[0] + rest.rstrip(" *") if _GOES_ON.search(rest) else formula
    return _SENTENCE_END.split(tail)[0].strip(" *")
