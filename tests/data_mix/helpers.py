"""Helpers shared by the tests of data_mix."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_mix.mixture import Mixture
from data_mix.mixture_config import parse_config


def rows_of(raw: dict) -> tuple[list[dict], list[dict]]:
    """The train and test rows of a config, without writing a folder."""
    mixture = Mixture.from_config(parse_config(raw))
    return tuple([row for table in split for row in table.to_pylist()] for split in (mixture.train(), mixture.test()))


def write_jsonl(path: Path, records: list[dict]) -> str:
    """Writes one record per line; returns the path as a string."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def make_unreadable(folder: Path, problem_id: str) -> None:
    """Replaces the gold answer of a train problem by one that the verifier cannot parse, as in a mixture from another tool."""
    path = folder / "train.parquet"
    rows = pq.read_table(path)
    answers = ["x" * 500 if row["problem_id"] == problem_id else row["answer"] for row in rows.to_pylist()]
    pq.write_table(rows.set_column(rows.schema.get_field_index("answer"), "answer", pa.array(answers)), path)
