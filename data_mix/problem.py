"""A problem (question, solution steps, final answer), and pools of problems."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from data_mix.forms import ANSWER_STYLES, write_completion


@dataclass(frozen=True)
class Problem:
    """A problem, independent of its form.

    Attributes:
        id: unique within its source; for records, stable across seeds and mixture sizes.
        source: the name of its source.
        prompt: the question as text.
        steps: the solution's steps in order, each a line or a sentence.
        answer: the final answer as text.
        meta: what the verifier needs besides the answer, e.g. `{"style": "gsm8k"}`; JSON-serialisable.
        record: the columns that own forms may use: those of the record that it was read from, or an own task's `meta`.
    """

    id: str
    source: str
    prompt: str
    steps: tuple[str, ...]
    answer: str
    meta: dict = field(default_factory=dict)
    record: dict = field(default_factory=dict, repr=False, compare=False)


class ProblemPool:
    """A sequence of `n` problems in the seed's order; `problem(i)` looks the i-th up in a list, or generates it."""

    def __init__(self, n: int, problem: Callable[[int], Problem]) -> None:
        self.n, self.problem = n, problem

    def __len__(self) -> int:
        """The number of problems."""
        return self.n

    def __iter__(self) -> Iterator[Problem]:
        """Iterates over all problems in order."""
        return map(self.problem, range(self.n))

    def problems(self, indices: Sequence[int]) -> Iterator[Problem]:
        """The problems at `indices`."""
        return map(self.problem, map(int, indices))

    def take(self, indices: Sequence[int]) -> "ProblemPool":
        """A pool of the problems at `indices`, in that order."""
        return PoolSlice(self, np.asarray(indices, dtype=np.int64))

    def columns(self, indices: Sequence[int], form: str, style: str | None) -> dict[str, list]:
        """The rows of the problems at `indices` in `form`, by column; prompts and completions as text.

        `style` overrides the answer style of word problems.
        """
        columns: dict[str, list] = {name: [] for name in ("problem_id", "source", "prompt", "completion", "answer", "meta")}
        for problem in self.problems(indices):
            if style and problem.meta["style"] in ANSWER_STYLES:
                problem = replace(problem, meta={**problem.meta, "style": style})
            columns["problem_id"].append(problem.id)
            columns["source"].append(problem.source)
            columns["prompt"].append(problem.prompt)
            columns["completion"].append(self.write(problem, form))
            columns["answer"].append(problem.answer)
            columns["meta"].append(json.dumps(problem.meta, sort_keys=True))
        return columns

    def write(self, problem: Problem, form: str) -> str:
        """The problem as a completion in `form`."""
        return write_completion(problem.steps, problem.answer, problem.meta["style"], form)


class PoolSlice(ProblemPool):
    """The problems of `pool` at `indices`, in that order."""

    def __init__(self, pool: ProblemPool, indices: np.ndarray) -> None:
        super().__init__(len(indices), lambda i: pool.problem(int(indices[i])))
        self.pool, self.indices = pool, indices

    def columns(self, indices: Sequence[int], form: str, style: str | None) -> dict[str, list]:
        """Delegates to the pool, which may have a faster implementation."""
        return self.pool.columns(self.indices[np.asarray(indices)], form, style)
