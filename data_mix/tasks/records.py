"""A user's own data set: jsonl, parquet or a hub id, its columns named in the mixture's YAML.

- {task: records, name: mine, path: mine.jsonl, question: q, solution: worked, answer: result}
"""

from functools import partial

from data_mix import golds
from data_mix.errors import InputError
from data_mix.problem import Problem
from data_mix.reading import Records, read_records, text_field
from data_mix.tasks.math import last_boxed, split_steps

PROMPT_FORMAT = "chat"


def make_problem(record: dict, id: str, source: str, question: str, solution: str, steps: str, answer: str) -> Problem:
    """A problem from one record; every argument after `source` names a column, or is None (see `read`)."""
    worked = list_field(record, steps) if steps else None
    text = text_field(record, solution) if solution else "\n".join(worked)
    body, mark, last = text.rpartition("####")
    ends_in_mark = bool(mark) and len(last.strip().splitlines()) == 1  # else it is a heading
    own = last.strip() if ends_in_mark else last_boxed(text)
    if worked is None:
        body = (body if ends_in_mark else text).strip()
        worked = [line.strip() for line in body.splitlines() if line.strip()] if "\n" in body else list(split_steps(body))
    final = " ".join(text_field(record, answer, number=True).split()) if answer else own
    if not final:
        raise InputError(f"`{solution}` ends neither in `#### N` nor in a \\boxed answer; name the `answer` column")
    if own and golds.differ(own, final):
        raise InputError(f"`{answer}` is {final[:40]!r}, but `{solution or steps}` ends in {own[:40]!r}")
    return Problem(id, source, text_field(record, question), tuple(worked), final, {"style": "gsm8k"})


def list_field(record: dict, key: str) -> list[str]:
    """A list of texts, checked one by one."""
    values = record.get(key)
    if not isinstance(values, list) or not values:
        raise InputError(f"`{key}` is not a list of steps")
    return [text_field({key: value}, key) for value in values]


def read(
    on_error: str,
    *,
    path: str,
    name: str,
    question: str = "question",
    solution: str | None = None,
    steps: str | None = None,
    answer: str | None = None,
    revision: str | None = None,
    config: str | None = None,
) -> Records:
    """Both splits of the data set at `path`, called `name` in the mixture.

    `question`, `solution` (text, cut into lines or else sentences), `steps` (a list of texts) and `answer` name columns. Give
    `solution` or `steps`; without `answer` it is what stands after the solution's `####` or in its last `\\boxed`.
    `config` is a hub data set's configuration.
    """
    if (solution is None) == (steps is None):
        raise InputError(
            f"records '{name}': name the column of the worked solution, either `solution` (text) or `steps` (a list)"
        )
    if steps and not answer:
        raise InputError(f"records '{name}': with `steps` the `answer` column must be named too")
    make = partial(make_problem, source=name, question=question, solution=solution, steps=steps, answer=answer)
    return read_records(name, make, on_error, path, revision, config)
