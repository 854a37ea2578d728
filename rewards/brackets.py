"""Splits cleaned text outside its brackets."""

import functools
import re

_DEPTH = {"(": 1, "[": 1, "{": 1, "\\lbrace": 1, ")": -1, "]": -1, "}": -1, "\\rbrace": -1}


def split(text: str, separators: tuple[str, ...]) -> list[str]:
    """Splits at separators outside all brackets."""
    parts, depth, start = [], 0, 0
    for found in _pattern(separators).finditer(text):
        step = _DEPTH.get(found[0])
        if step:
            depth += step
        elif depth == 0:
            parts.append(text[start : found.start()].strip())
            start = found.end()
    return [*parts, text[start:].strip()]


def without_braces(text: str) -> str:
    """The text without a pair of braces that encloses all of it."""
    while text[:1] == "{" and text[-1:] == "}" and balanced(text[1:-1], "{", "}"):
        text = text[1:-1].strip()
    return text


def balanced(text: str, opening: str = "([", closing: str = ")]") -> bool:
    """Whether brackets are balanced within the text, so that the brackets around it match each other."""
    depth = 0
    for character in text:
        depth += (character in opening) - (character in closing)
        if depth < 0:
            return False
    return depth == 0


@functools.cache
def _pattern(separators: tuple[str, ...]) -> re.Pattern:
    """Matches a bracket or a separator."""
    return re.compile("|".join(map(re.escape, (*_DEPTH, *separators))))
