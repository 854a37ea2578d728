"""A user's dataset in jsonl, parquet or on the hub, with its columns named in the mixture's YAML:

- {task: records, name: mine, path: mine.jsonl, question: q, solution: worked, answer: result}
"""

from functools import partial

from data_mix import golds
from data_mix.errors import InputError
from data_mix.problem import Problem
from data_mix.reading import Records, read_records, text_field
from data_mix.tasks.math import boxed_answer, split_steps

PROMPT_FORMAT = "chat"


def make_problem(record: dict, id: str, source: str, question: str, solution: str, steps: str, answer: str) -> Problem:
    """Parses a record; `question` to `answer` are column names, or None (see `read`)."""
    step_list = list_field(record, steps) if steps else None
    text = text_field(record, solution) if solution else "\n".join(step_list)
    body, mark, last = text.rpartition("####")
    ends_in_mark = bool(mark) and len(last.strip().splitlines()) == 1  # otherwise it is a heading
    stated = last.strip() if ends_in_mark else boxed_answer(text)  # the answer that the solution ends in
    if step_list is None:
        body = (body if ends_in_mark else text).strip()
        step_list = [line.strip() for line in body.splitlines() if line.strip()] if "\n" in body else split_steps(body)
    final = " ".join(text_field(record, answer, number=True).split()) if answer else stated
    if not final:
        raise InputError(f"`{solution}` ends neither in `#### N` nor in a \\boxed answer; name the `answer` column")
    if stated and golds.differ(stated, final):
        raise InputError(f"`{answer}` is {final[:40]!r}, but `{solution or steps}` ends in {stated[:40]!r}")
    return Problem(id, source, text_field(record, question), tuple(step_list), final, {"style": "gsm8k"})


def list_field(record: dict, key: str) -> list[str]:
    """The list of steps at `key`, each validated by `text_field`."""
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
    """Reads both splits of the dataset at `path`, called `name` in the mixture.

    `question`, `solution` (text, split into lines, or into sentences if it is one line), `steps` (a list of texts) and
    `answer` name columns. Give either `solution` or `steps`. Without `answer`, the answer is read from the solution's `####`
    or last `\\boxed`. `config` is the configuration of a hub dataset.
    """
    if (solution is None) == (steps is None):
        raise InputError(f"records '{name}': no solution column; name exactly one of `solution` (text) and `steps` (a list)")
    if steps and not answer:
        raise InputError(f"records '{name}': `steps` without `answer`; name the `answer` column too")
    make = partial(make_problem, source=name, question=question, solution=solution, steps=steps, answer=answer)
    return read_records(name, make, on_error, path, revision, config)
