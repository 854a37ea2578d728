r"""The final answer of a completion, found by the style that the mixture wrote it in.

    parity          the whole text is bits; the answer is the last one
    multiplication  the whole text is steps; the answer is the number that the last one ends in, its digits turned round
    gsm8k           after the last `####`
    boxed           the last `\boxed{...}` or `\fbox{...}` with balanced braces
    auto            boxed where the text has a box, else gsm8k

Strict, only the style's own mark counts. Lenient, gsm8k and boxed fall back on each other's and on "the answer is ...". A
number somewhere in the text is never taken for an answer: a completion cut before its answer has none. A mark with
nothing behind it is an answer that was not given, and what stood earlier does not replace it.

Every pattern runs in linear time: a match that spans white space can only start at the beginning of the run.
"""

import collections
import re

LONGEST = 20_000  # characters from the end of the text in which an answer is looked for

_HASHES = re.compile(r"####[ \t]*([^\n]*)")
_BOX = re.compile(r"\\f?box(?:ed)?(?![a-z])\s*")
_PHRASE = re.compile(r"(?i)\banswer\b(?:\*\*)?\s*(?:is\b|[:=])\s*(?:\*\*)?[ \t]*:?[ \t]*")
_SENTENCE_END = re.compile(r"(?<!\b[A-Z])[.!](?=\s+[A-Z*]|\s*$)|\.(?=\*\*)|(?i:(?:,|(?<!\s))\s+(?:because|since|so)\b)")
_BITS = re.compile(r"[01]+")
_PRODUCTS = re.compile(r"(?:[0-9]+(?:=[0-9]+)?;)*(?:[0-9]+=)?([0-9]+)")
_END_OF_TEXT = re.compile(r"<\|(?:endoftext|end_of_text|eot_id|im_end|im_start|eom_id)\|>|</s>|<end>")


def extract(text: str, style: str) -> tuple[str | None, bool]:
    """The final answer in `text`, or None, and whether the style's own mark was there: what counts when strict."""
    text = _END_OF_TEXT.split(text, maxsplit=1)[0]
    if style == "parity":
        bits = text.strip()
        return (bits[-1] if _BITS.fullmatch(bits) else None), True
    if style == "multiplication":
        found = _PRODUCTS.fullmatch(text.strip())
        return (found.group(1)[::-1].lstrip("0") or "0" if found else None), True
    text = text[-LONGEST:]
    if style == "auto":
        style = "boxed" if _BOX.search(text) else "gsm8k"
    finders = [_find_hashes, _find_boxed] if style == "gsm8k" else [_find_boxed, _find_hashes]
    for place, find in enumerate((*finders, _find_phrase)):
        answer = find(text)
        if answer is not None:
            return answer.strip() or None, place == 0
    return None, False


def has_box(text: str) -> bool:
    """Whether there is a box, closed or not."""
    return _BOX.search(text) is not None


def _find_boxed(text: str) -> str | None:
    """The content of the last box (of a box in a box: the inner one); empty when it does not close, None when there is none."""
    last = collections.deque(_BOX.finditer(text), maxlen=1)
    if not last:
        return None
    match = last[0]
    if text[match.end() : match.end() + 1] != "{":
        return re.split(r"[\s$.]", text[match.end() :], maxsplit=1)[0]  # `\boxed 2$`
    depth = 0
    for end in range(match.end(), len(text)):
        if text[end - 1] != "\\":
            depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return text[match.end() + 1 : end]
    return ""


def _find_hashes(text: str) -> str | None:
    """What stands after the last `####`, to the end of its line."""
    found = _HASHES.findall(text)
    if not found:
        return None
    line = found[-1].strip("# \t")
    phrase = _find_phrase(line)
    return line if phrase is None else phrase


def _find_phrase(text: str) -> str | None:
    """What stands after the last "the answer is", to the end of its sentence, or the mathematics that it begins with."""
    found = list(_PHRASE.finditer(text))
    if not found:
        return None
    tail = text[found[-1].end() :].split("\n", 1)[0].strip(" *")
    mathematics = re.match(r"\$+([^$]+)\$+|\\\((.+?)\\\)|\\\[(.+?)\\\]", tail)
    if mathematics:
        return next(filter(None, mathematics.groups()))
    return _SENTENCE_END.split(tail)[0].strip(" *")
