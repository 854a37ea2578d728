"""GSM8K, from the hub (`openai/gsm8k`) or a local folder of jsonl with the same two fields, question and answer."""

import re

from data_mix.errors import InputError
from data_mix.problem import Problem
from data_mix.tasks.records import choose, read_split

STYLE = "gsm8k"
PROMPT_FORMAT = "chat"
_CALCULATOR = re.compile(r"<<[^>]*>>")


def make_problem(record: dict, id: str) -> Problem:
    """A problem from one GSM8K record: calculator marks `<<48/2=24>>` are removed, thousands separators in the answer too."""
    try:
        solution, answer = record["answer"].rsplit("####", 1)
        question = record["question"]
    except (KeyError, AttributeError, ValueError):
        raise InputError(f"{id}: needs a `question` and an `answer` that ends in `#### N`") from None
    steps = tuple(line.strip() for line in _CALCULATOR.sub("", solution).splitlines() if line.strip())
    return Problem(id, "gsm8k", question, steps, answer.strip().replace(",", ""), {"style": STYLE})


def load(
    seed: int, n_train: int | None, n_test: int | None, *, path: str = "openai/gsm8k"
) -> tuple[list[Problem], list[Problem]]:
    """`n_train` problems of the train split and `n_test` of the test split; None is all of a split."""
    hub = {"name": "main"} if path == "openai/gsm8k" else {}

    def split(name: str, n: int | None) -> list[Problem]:
        records = read_split(path, name, **hub)
        return choose([make_problem(r, f"gsm8k/{name}/{i}") for i, r in enumerate(records)], n, seed, f"gsm8k {name}")

    return split("train", n_train), split("test", n_test)
