r"""Reads `\boxed{...}` and `\fbox{...}`, for gold solutions and completions alike."""

import collections
import re

_BOX = re.compile(r"\\f?box(?:ed)?(?![a-z])\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # an escaped brace does not count
_TOKEN = re.compile(r"(?:[^\s$.]|\.(?=[0-9]))+")
_MAX_BOXES = 40  # that form one list
_MAX_CONNECTOR = 60  # characters between two of them
_MARKUP = re.compile(r"\$|\\[()\[\],;:! ]|\\(?:q?quad|text|mbox|left|right)(?![a-z])|[{}*]")
_CONNECTOR = re.compile(r"\s*(?:[,;&]\s*)?((?:[A-Za-z]+'?\s*,?\s*){0,2})((?:[A-Za-z]\w{0,3}(?:\([a-z]\))?\s*=\s*)?)")


def has_box(text: str) -> bool:
    r"""Whether `text` contains a `\boxed` or `\fbox`, closed or not."""
    return _BOX.search(text) is not None


def last_boxed(text: str) -> str | None:
    r"""The content of the last box, with balanced braces; of nested boxes, the innermost.

    Without braces the content is the number or token that follows: `\boxed 2.5` equals `\boxed{2.5}`. Runs in linear time.

    Returns:
        The content, "" for `\boxed{}`; None when there is no box, the last one is not closed, or nothing follows it.
    """
    last = collections.deque(_BOX.finditer(text), maxlen=1)
    found = _content(text, last[0]) if last else None
    return text[found[0] : found[1]] if found else None


def last_boxes(text: str) -> str | None:
    r"""The content of the last box, or of all boxes of a list at the end, separated by commas.

    Boxes form a list if only commas, formatting, `name =` and at most two words separate them: `\boxed{1} and \boxed{2}`.
    So the last box of several never counts as the only answer. Runs in linear time.

    Returns:
        As `last_boxed`.
    """
    boxes = list(collections.deque(_BOX.finditer(text), maxlen=_MAX_BOXES))
    content = _content(text, boxes[-1]) if boxes else None
    if content is None:
        return None
    contents, start = [text[slice(*content[:2])]], boxes[-1].start()
    for box in boxes[-2::-1]:
        content = _content(text, box, start)
        if content is None or not _connects(text[content[2] : start]):
            break
        contents.append(text[slice(*content[:2])])
        start = box.start()
    return ", ".join(contents[::-1]) if all(map(str.strip, contents)) else contents[0]


def _content(text: str, box: re.Match, end: int | None = None) -> tuple[int, int, int] | None:
    """Where the content of a box starts and ends, and where the box ends; None if it is not closed before `end`."""
    start, end = box.end(), len(text) if end is None else end
    if not text.startswith("{", start):
        token = _TOKEN.match(text, start, end)
        return (*token.span(), token.end()) if token else None
    depth = 0
    for brace in _BRACE.finditer(text, start, end):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0 and brace[0] == "}":
            return start + 1, brace.start(), brace.end()
    return None


def _connects(between: str) -> bool:
    """Whether the text between two boxes makes them a list."""
    if len(between) > _MAX_CONNECTOR or "\n\n" in between:
        return False
    plain = _MARKUP.sub(" ", between)
    return bool(plain.strip()) and _CONNECTOR.fullmatch(plain) is not None
