"""A problem: a question, the steps of its solution in order, and its final answer."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from data_mix.errors import InputError


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


def distinct(draw: Callable[[], Problem], n: int, exist: int | None, what: str) -> Iterator[Problem]:
    """Yields `n` problems with different ids from repeated calls of `draw`.

    `exist` is how many different problems there are, None where there is no end of them.

    Raises:
        InputError: when more are asked for than exist, or than turn up in a hundred draws each.
    """
    if exist is not None and n > exist:
        raise InputError(f"{what}: {n} different problems asked for (train + test), only {exist} exist")
    seen: set[str] = set()
    for _ in range(100 * n):
        if len(seen) == n:
            return
        problem = draw()
        if problem.id not in seen:
            seen.add(problem.id)
            yield problem
    if len(seen) < n:
        raise InputError(f"{what}: {n} different problems asked for, {len(seen)} found in {100 * n} draws; ask for fewer")
