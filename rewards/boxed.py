r"""Reads `\boxed{...}` and `\fbox{...}`, for gold solutions and completions alike."""

import collections
import re

_BOX = re.compile(r"\\f?box(?:ed)?(?![a-z])\s*")
_BRACE = re.compile(r"(?<!\\)[{}]")
_TOKEN = re.compile(r"(?:[^\s$.]|\.(?=[0-9]))+")


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
    if not last:
        return None
    start = last[0].end()
    if not text.startswith("{", start):
        token = _TOKEN.match(text, start)
        return token[0] if token else None
    depth = 0
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return text[start + 1 : brace.start()]
    return None
