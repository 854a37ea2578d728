"""MATH, from jsonl, parquet or a hub copy with the fields problem and solution; the answer is in the last `\\boxed`.

`level`, `type` and `subject`, if a record has them, are kept in meta, by which `eval` breaks its metrics down.
"""

import re

from data_mix.errors import InputError
from data_mix.problem import Problem
from data_mix.reading import Records, read_records, text_field
from rewards.boxed import last_boxed

PROMPT_FORMAT = "chat"


def boxed_answer(text: str) -> str | None:
    """The content of the last `\\boxed` on one line, since an answer after `####` ends with its line; None without one."""
    content = last_boxed(text)
    return None if content is None else " ".join(content.split())


def split_steps(solution: str) -> tuple[str, ...]:
    """Splits a solution into sentences, but never inside `$...$`, `\\[...\\]` or an environment."""
    steps, start, counted = [], 0, 0
    dollars = brackets = environments = 0  # in solution[start:counted]
    for match in re.finditer(r"(?<=[.!?])\s+|\n\n+", solution):
        part = solution[counted : match.start()]
        counted = match.start()
        dollars += part.replace("\\$", "").count("$")
        brackets += part.count("\\[") - part.count("\\]")
        environments += part.count("\\begin{") - part.count("\\end{")
        if dollars % 2 or brackets or environments:
            continue
        step = solution[start : match.start()].strip()
        if step:
            steps.append(step)
            start, dollars = match.end(), 0
    return tuple(steps + [solution[start:].strip()] if solution[start:].strip() else steps)


def make_problem(record: dict, id: str) -> Problem | None:
    """Parses a record; its `unique_id`, if present, replaces the default `id`.

    Returns None for an empty box, a known defect: two of the 12,500 solutions end in `\\boxed{}`.
    """
    solution = text_field(record, "solution")
    answer = boxed_answer(solution)
    if answer is None:
        raise InputError("`solution` has no \\boxed answer")
    if not answer:
        return None
    id = text_field(record, "unique_id", number=True) if record.get("unique_id") else id
    groups = {name: record[name] for name in ("level", "type", "subject") if isinstance(record.get(name), str | int)}
    return Problem(id, "math", text_field(record, "problem"), split_steps(solution), answer, {"style": "boxed", **groups})


def read(on_error: str, *, path: str, revision: str | None = None, config: str | None = None) -> Records:
    """Reads both splits; `config` is the configuration of a hub dataset."""
    return read_records("math", make_problem, on_error, path, revision, config)
