"""GSM8K, from the hub (`openai/gsm8k`), or from jsonl or parquet with its fields question and answer."""

import re
from functools import partial

from data_mix.errors import InputError
from data_mix.problem import Problem
from data_mix.reading import GROUPING_COMMA, NAN, Records, read_records, text_field

PROMPT_FORMAT = "chat"
HUB = "openai/gsm8k"
_CALCULATOR = re.compile(r"<<([^<>]*)>>")


def make_problem(record: dict, id: str, calculator: bool | str = False) -> Problem | None:
    """Parses a record; removes grouping commas from the answer.

    Args:
        record: a row of the dataset.
        id: of the problem.
        calculator: what becomes of annotations such as `<<48/2=24>>`. False: removed; True: kept; only: the steps are these
            equations, `48/2 = 24`, without the text around them. Then None is returned for a record without any.
    """
    solution, mark, answer = text_field(record, "answer").rpartition("####")
    answer = answer.strip()
    if not mark or not answer or answer in NAN:
        raise InputError("`answer` does not end in `#### N`")
    if len(answer.splitlines()) > 1:
        raise InputError(f"`answer` continues after the line `#### {answer.splitlines()[0]}`")
    if calculator == "only":
        solution = "\n".join(
            " = ".join(part.strip() for part in equation.split("=")) for equation in _CALCULATOR.findall(solution)
        )
        if not solution:
            return None
    elif not calculator:
        solution = _CALCULATOR.sub("", solution)
    steps = tuple(line.strip() for line in solution.splitlines() if line.strip())
    return Problem(id, "gsm8k", text_field(record, "question"), steps, GROUPING_COMMA.sub("", answer), {"style": "gsm8k"})


def read(on_error: str, *, path: str = HUB, revision: str | None = None, calculator: bool | str = False) -> Records:
    """Reads both splits; `calculator` as for `make_problem`."""
    config = "main" if path == HUB else None
    return read_records("gsm8k", partial(make_problem, calculator=calculator), on_error, path, revision, config)
