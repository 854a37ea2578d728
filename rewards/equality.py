"""Whether two final answers are equal, by the conventions of answers.py.

Nearly all are settled here, by structure and exact arithmetic, in well under a millisecond and within fixed bounds. What is
left (an integral, an operator that our parser does not know) goes to math-verify in a worker process (pool.py).
"""

import functools

from rewards.answers import LONGEST, Answer, clean, is_words, read, same
from rewards.expression import TooLargeError, UnknownError

_read = functools.lru_cache(maxsize=2048)(read)  # the gold answer of a group is read once


def readable(gold: str) -> bool:
    """Whether a gold answer can be compared to anything."""
    try:
        _read(gold)
    except (UnknownError, TooLargeError):
        return False
    return True


def settle(predicted: str, gold: str) -> str | None:
    """The outcome of comparing two answers: correct, wrong, timeout (beyond the bounds of exact arithmetic).

    None where only a computer algebra system could say: neither side is an expression that we know, and they are not alike.
    """
    if len(predicted) > LONGEST or len(gold) > LONGEST:
        return "wrong"
    if predicted.strip() == gold.strip():
        return "correct" if readable(gold) else "wrong"
    try:
        ours, theirs = _read(predicted), _read(gold)
    except UnknownError:
        return "wrong"
    except TooLargeError:
        return "timeout"
    try:
        if same(ours, theirs):
            return "correct"
    except UnknownError:
        return None
    except TooLargeError:
        return "timeout"
    return None if _is_odd(ours, predicted) and _is_odd(theirs, gold) else "wrong"


def _is_odd(answer: Answer, text: str) -> bool:
    """Whether words were seen where there is mathematics: a LaTeX command that only a larger parser knows."""
    return is_words(answer) and "\\" in clean(text)


def ask_math_verify(predicted: str, gold: str) -> bool:
    """math-verify's verdict, asked both ways because it is not symmetric; without time limit, so in a worker only.

    Only its LaTeX parser is used: the one for plain expressions evaluates Python.
    """
    from math_verify import LatexExtractionConfig, parse, verify

    latex = [LatexExtractionConfig()]
    a, b = (
        parse(f"${clean(text)}$", extraction_config=latex, parsing_timeout=None, raise_on_error=True)
        for text in (predicted, gold)
    )
    both = ((a, b), (b, a))
    return bool(a and b) and all(verify(*pair, timeout_seconds=None, raise_on_error=True) for pair in both)
