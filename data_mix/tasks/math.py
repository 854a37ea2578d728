"""MATH, from jsonl, parquet or a hub copy with the fields problem and solution; the answer is the last `\\boxed`."""

import re

from data_mix.errors import InputError
from data_mix.problem import Problem
from data_mix.reading import Records, read_records, text_field

PROMPT_FORMAT = "chat"


def last_boxed(text: str) -> str | None:
    """The content of the last `\\boxed{...}` or `\\fbox{...}` on one line, braces balanced; None if there is none."""
    start = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    if start < 0:
        return None
    rest = text[start:].split("box", 1)[1].removeprefix("ed").lstrip()
    if not rest.startswith("{"):
        return rest.split("$")[0].strip() or None  # `\boxed 2$`, as a few solutions have it
    depth = 0
    for end, character in enumerate(rest):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return " ".join(rest[1:end].split())  # after `####` an answer ends with its line
    return None


def split_steps(solution: str) -> tuple[str, ...]:
    """The solution's sentences; never cut inside `$...$`, `\\[...\\]` or an environment."""
    steps, start, counted = [], 0, 0
    dollars = brackets = environments = 0  # since `start`, up to `counted`
    for match in re.finditer(r"(?<=[.!?])\s+|\n\n+", solution):
        part = solution[counted : match.start()]
        counted = match.start()
        dollars += part.replace("\\$", "").count("$")
        brackets += part.count("\\[") - part.count("\\]")
        environments += part.count("\\begin{") - part.count("\\end{")
        if dollars % 2 or brackets or environments:
            continue
        piece = solution[start : match.start()].strip()
        if piece:
            steps.append(piece)
            start, dollars = match.end(), 0
    return tuple(steps + [solution[start:].strip()] if solution[start:].strip() else steps)


def make_problem(record: dict, id: str) -> Problem | None:
    """A problem from one MATH record; its id is the record's own `unique_id` where it has one.

    None where the box is empty: two of the 12,500 solutions end in `\\boxed{}`.
    """
    solution = text_field(record, "solution")
    answer = last_boxed(solution)
    if answer is None:
        raise InputError("`solution` has no \\boxed answer")
    if not answer:
        return None
    id = text_field(record, "unique_id", number=True) if record.get("unique_id") else id
    return Problem(id, "math", text_field(record, "problem"), split_steps(solution), answer, {"style": "boxed"})


def read(on_error: str, *, path: str, revision: str | None = None, config: str | None = None) -> Records:
    """Both splits; `config` is a hub copy's configuration, where it has several."""
    return read_records("math", make_problem, on_error, path, revision, config)
