"""The gold answers of the local datasets, and the shapes that rewrites distinguish. Independent of the verifier's grammar."""

import json
import re
from pathlib import Path

from rewards.boxed import last_boxed

FRACTION = re.compile(r"(-?)\\[dt]?frac\{(\d+)\}\{(\d+)\}")
_NO_EXPRESSION = re.compile(
    r"[=<>:,%\[\]$&|]|\\(?:text|mbox|le|ge|cup|in(?![a-z])|begin|overline|angle|triangle|approx|lbrace|\{|!|circ|degree|pm"
    r"|[lr]floor|[lr]ceil)"
)
LETTERS = re.compile(r"(?:\\text\{|\\mbox\{)?([A-Za-z]{3,})\}?")


def gold_answers(data: Path) -> list[str]:
    """The different gold answers of GSM8K, MATH, MATH-500 and OlympiadBench."""
    found = set()
    for split in ("train", "test"):
        found |= {row["answer"].rsplit("####", 1)[1].strip() for row in _rows(data / "gsm8k" / f"{split}.jsonl")}
        found |= {last_boxed(row["solution"]) for row in _rows(data / "math" / f"{split}.jsonl")}
    found |= {row["answer"] for row in _rows(data / "math500" / "test.jsonl")}
    found |= {row["final_answer"][0] for row in _rows(data / "olympiadbench" / "test.jsonl")}
    return sorted(filter(None, found))


def number(gold: str) -> str:
    """A plain integer or decimal as ASCII digits; "" for anything else."""
    if re.search(r"\d, \d", gold):
        return ""
    plain = re.sub(r"\\!|\\,|[$ ]|(?<=\d),(?=\s*(?:\\!\s*)?\d{3}(?!\d))", "", gold.replace(r"\$", "").strip())
    return plain if re.fullmatch(r"-?\d+(?:\.\d+)?", plain) else ""


def parts(gold: str, opening: str = "", closing: str = "") -> list[str]:
    """The elements between the given brackets, or of a bare list; [] unless there are at least two."""
    plain = re.sub(r"\\left|\\right|\\,|^\$|\$$", "", gold.strip()).strip()
    if not (plain.startswith(opening) and plain.endswith(closing)):
        return []
    plain = plain[len(opening) : len(plain) - len(closing)]
    elements, depth, start = [], 0, 0
    for at, character in enumerate(plain):
        depth += (character in "([{") - (character in ")]}")
        if depth < 0 or (character in "=<>:" and depth == 0):
            return []
        if character == "," and depth == 0:
            elements.append(plain[start:at].strip(" $"))
            start = at + 1
    elements.append(plain[start:].strip(" $"))
    text = "\\text" in plain or "\\!" in plain or depth or not all(elements)
    return elements if len(elements) > 1 and not text else []


def is_list(gold: str) -> bool:
    """Whether a gold answer is a bare list, not digits in groups."""
    return bool(parts(gold)) and not number(gold)


def expression(gold: str) -> str:
    """An expression without relations, lists, words, units, bases and brackets around it; "" for anything else."""
    plain = gold.strip().strip("$").strip().rstrip(".")
    if number(gold) or _NO_EXPRESSION.search(plain) or re.search(r"\d_|\d\s+\d", plain):
        return number(gold)
    bare = re.sub(r"\\[A-Za-z]+", " ", plain)
    return plain if not re.search(r"[A-Za-z]{2,}", bare) and plain.count("(") == plain.count(")") else ""


def _rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
