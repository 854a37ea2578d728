"""MATH, from a local folder of jsonl or a hub copy with the fields problem and solution; the answer is the last `\\boxed`."""

import re

from data_mix.errors import InputError
from data_mix.problem import Problem
from data_mix.tasks.records import choose, read_split

STYLE = "boxed"
PROMPT_FORMAT = "chat"


def last_boxed(text: str) -> str | None:
    """The content of the last `\\boxed{...}` or `\\fbox{...}`, braces balanced; None if there is none."""
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
            return rest[1:end]
    return None


def split_steps(solution: str) -> tuple[str, ...]:
    """The solution's sentences; never cut inside `$...$`, `\\[...\\]` or an environment."""
    steps, start = [], 0
    for match in re.finditer(r"(?<=[.!?])\s+|\n\n+", solution):
        piece = solution[start : match.start()]
        inside = (
            piece.replace("\\$", "").count("$") % 2
            or piece.count("\\[") != piece.count("\\]")
            or piece.count("\\begin{") != piece.count("\\end{")
        )
        if not inside and piece.strip():
            steps.append(piece.strip())
            start = match.end()
    return tuple(steps + [solution[start:].strip()] if solution[start:].strip() else steps)


def make_problem(record: dict, id: str) -> Problem:
    """A problem from one MATH record; its id is the record's own `unique_id` where it has one."""
    id = str(record.get("unique_id") or id)
    answer = last_boxed(str(record.get("solution", "")))
    if answer is None or not record.get("problem"):
        raise InputError(f"{id}: needs a `problem` and a `solution` with a \\boxed answer")
    return Problem(id, "math", record["problem"], split_steps(record["solution"]), answer, {"style": STYLE})


def load(seed: int, n_train: int | None, n_test: int | None, *, path: str) -> tuple[list[Problem], list[Problem]]:
    """`n_train` problems of the train split and `n_test` of the test split; None is all of a split."""

    def split(name: str, n: int | None) -> list[Problem]:
        records = read_split(path, name)
        return choose([make_problem(r, f"math/{name}/{i}") for i, r in enumerate(records)], n, seed, f"math {name}")

    return split("train", n_train), split("test", n_test)
