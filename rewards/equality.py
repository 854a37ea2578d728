"""Whether two final answers are equal: numbers exactly, everything else through math-verify.

Units of money, percent signs and thousands separators are dropped; `28%` is 28. No tolerance: 0.33 is not 1/3.
"""

import re
import threading
from fractions import Fraction

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?|[-+]?\.\d+")
_RATIO = re.compile(r"([-+]?\d+)\s*/\s*(\d+)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_UNITS = str.maketrans("", "", "$€£%")
# A longer answer is prose or an attack; both are wrong, and neither reaches the parser.
MAX_LENGTH = 400


def normalise(answer: str) -> str:
    """The answer without money and percent signs, thousands separators, outer blanks and a final full stop."""
    return _THOUSANDS.sub("", answer.replace("\\$", "").replace("\\%", "").translate(_UNITS)).strip().rstrip(".").strip()


def to_number(answer: str) -> Fraction | None:
    """The exact value of a normalised integer, decimal or plain ratio; None for anything else."""
    if len(answer) > 100:
        return None
    if _NUMBER.fullmatch(answer):
        return Fraction(answer)
    ratio = _RATIO.fullmatch(answer)
    return Fraction(int(ratio[1]), int(ratio[2])) if ratio and int(ratio[2]) else None


def equal(predicted: str, gold: str) -> bool:
    """Whether two final answers are the same.

    Raises:
        TimeoutError: when math-verify ran out of time (5 s; enforced only in the main thread, where signals work).
    """
    ours, theirs = normalise(predicted), normalise(gold)
    if ours == theirs:
        return ours != ""
    a, b = to_number(ours), to_number(theirs)
    if a is not None and b is not None:
        return a == b
    if max(len(ours), len(theirs)) > MAX_LENGTH or not ours or not theirs:
        return False
    return _math_verify(ours, theirs)


def _math_verify(ours: str, theirs: str) -> bool:
    from math_verify import LatexExtractionConfig, parse, verify

    seconds = 5 if threading.current_thread() is threading.main_thread() else None
    latex = [LatexExtractionConfig()]  # the plain-expression path evaluates Python; it stays shut
    sides = [
        parse(f"${text}$", extraction_config=latex, parsing_timeout=seconds, raise_on_error=False) for text in (theirs, ours)
    ]
    return bool(sides[0] and sides[1]) and verify(*sides, timeout_seconds=seconds, raise_on_error=False)
