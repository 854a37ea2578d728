"""The final answer of a completion, found by the style that the mixture wrote it in.

    parity          the whole text is bits; the answer is the last one
    multiplication  the whole text is steps; the answer is the number that the last one ends in, its digits turned round
    gsm8k           after the last `####`
    boxed           the last `\\boxed{...}` or `\\fbox{...}` with balanced braces

Where the style's own mark is missing, gsm8k and boxed fall back on the other's mark and on "the answer is ...". A number
somewhere in the text is never taken for an answer: a completion cut before its answer has none.
"""

import re

_HASHES = re.compile(r"####[ \t]*([^\n#]*)")
_ANSWER_IS = re.compile(r"(?i)\banswer\s+is:?\s*([^\n]+)")
_SENTENCE_END = re.compile(r"(?<!\d)\.(?=\s|$)|\.(?=\s+[A-Z]|\s*$)")
_BITS = re.compile(r"[01]+")
_PRODUCTS = re.compile(r"(?:\d+(?:=\d+)?;)*(?:\d+=)?(\d+)")


def find_boxed(text: str) -> str | None:
    """The content of the last `\\boxed{...}` or `\\fbox{...}` whose braces close; None if there is none."""
    for match in reversed(list(re.finditer(r"\\f?box(?:ed)?\s*\{", text))):
        depth = 1
        for end in range(match.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                return text[match.end() : end].strip() or None
    return None


def find_hashes(text: str) -> str | None:
    """What stands after the last `####`, to the end of its line."""
    found = _HASHES.findall(text)
    return found[-1].strip() or None if found else None


def find_phrase(text: str) -> str | None:
    """What stands after the last "the answer is", to the end of its sentence."""
    found = _ANSWER_IS.findall(text)
    return _SENTENCE_END.split(found[-1])[0].strip(" *") or None if found else None


def extract(text: str, style: str) -> str | None:
    """The final answer in `text`, or None. `style` is one of those above."""
    if style == "parity":
        bits = text.strip()
        return bits[-1] if _BITS.fullmatch(bits) else None
    if style == "multiplication":
        found = _PRODUCTS.fullmatch(text.strip())
        return (found.group(1)[::-1].lstrip("0") or "0") if found else None
    finders = [find_hashes, find_boxed] if style == "gsm8k" else [find_boxed, find_hashes]
    for find in (*finders, find_phrase):
        answer = find(text)
        if answer is not None:
            return answer
    return None
