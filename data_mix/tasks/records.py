"""What the tasks with records of their own (GSM8K, MATH) share: reading both splits, from a folder or from the hub."""

import json
import random
from pathlib import Path

from data_mix.errors import InputError
from data_mix.problem import Problem


def read_split(path: str, split: str, **hub) -> list[dict]:
    """The records of `split` from the local folder `path` ({split}.jsonl) or, if there is no such folder, the hub id `path`."""
    folder = Path(path)
    if folder.is_dir():
        file = folder / f"{split}.jsonl"
        if not file.is_file():
            raise InputError(f"{file}: no such file; a local data set is a folder with train.jsonl and test.jsonl")
        return [parse_line(file, number, line) for number, line in enumerate(file.open(encoding="utf-8"), 1)]
    if path.startswith((".", "/", "~")) or path.count("/") != 1:
        raise InputError(f"path '{path}': no such folder, and not a hub id (owner/name)")
    from datasets import load_dataset

    return list(load_dataset(path, split=split, **hub))


def parse_line(file: Path, number: int, line: str) -> dict:
    """One JSON object, or an InputError that names file and line."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{file}:{number}: not JSON ({error})") from None
    if not isinstance(record, dict):
        raise InputError(f"{file}:{number}: not a JSON object")
    return record


def choose(problems: list[Problem], n: int | None, seed: int, what: str) -> list[Problem]:
    """`n` of the problems in an order that the seed gives; smaller choices are the beginnings of larger ones."""
    order = random.Random(f"{what}/{seed}").sample(problems, len(problems))
    if n is not None and n > len(order):
        raise InputError(f"{what}: {n} rows asked for, the source has {len(order)}; ask for at most that many")
    return order[:n]
