"""A problem: a question, the steps of its solution in order, and its final answer. And pools of them."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from data_mix.forms import write_completion


@dataclass(frozen=True)
class Problem:
    """One problem, before any form is chosen.

    Attributes:
        id: unique within its source, stable across seeds and mixture sizes where the source has records of its own.
        source: the name of the task it comes from.
        prompt: the question as text.
        steps: the solution's steps in order, each one line or sentence.
        answer: the final answer as text.
        meta: what the verifier needs beside the answer, e.g. `{"style": "gsm8k"}`; JSON-serialisable.
    """

    id: str
    source: str
    prompt: str
    steps: tuple[str, ...]
    answer: str
    meta: dict = field(default_factory=dict)


class ProblemPool:
    """Problems by number, 0 to len - 1, in the seed's order: those of a list, or made when they are asked for."""

    def __init__(self, n: int, problem: Callable[[int], Problem]) -> None:
        self.n, self.problem = n, problem

    def __len__(self) -> int:
        """How many problems."""
        return self.n

    def __iter__(self) -> Iterator[Problem]:
        """The problems in order."""
        return map(self.problem, range(self.n))

    def problems(self, numbers: Sequence[int]) -> Iterator[Problem]:
        """The problems of these numbers."""
        return map(self.problem, map(int, numbers))

    def take(self, numbers: Sequence[int]) -> "ProblemPool":
        """The pool of these problems, in this order."""
        return PoolSlice(self, np.asarray(numbers, dtype=np.int64))

    def columns(self, numbers, form: str, style: str | None) -> dict[str, list]:
        """The rows of these problems in `form`, by column, prompt and completion as text.

        `style` replaces the answer style of problems that are written in words.
        """
        columns: dict[str, list] = {name: [] for name in ("problem_id", "source", "prompt", "completion", "answer", "meta")}
        for problem in self.problems(numbers):
            if style and problem.meta["style"] in ("gsm8k", "boxed"):
                problem = replace(problem, meta={**problem.meta, "style": style})
            columns["problem_id"].append(problem.id)
            columns["source"].append(problem.source)
            columns["prompt"].append(problem.prompt)
            columns["completion"].append(write_completion(problem.steps, problem.answer, problem.meta["style"], form))
            columns["answer"].append(problem.answer)
            columns["meta"].append(json.dumps(problem.meta, sort_keys=True))
        return columns


class PoolSlice(ProblemPool):
    """Some of a pool's problems, in an order of their own."""

    def __init__(self, whole: ProblemPool, numbers: np.ndarray) -> None:
        super().__init__(len(numbers), lambda number: whole.problem(int(numbers[number])))
        self.whole, self.numbers = whole, numbers

    def columns(self, numbers, form: str, style: str | None) -> dict[str, list]:
        """As `ProblemPool.columns`, the whole pool's own way."""
        return self.whole.columns(self.numbers[np.asarray(numbers)], form, style)
