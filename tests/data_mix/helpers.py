"""What the tests of data_mix share."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_mix.mixture import Mixture
from data_mix.mixture_config import parse_config


def rows_of(raw: dict) -> tuple[list[dict], list[dict]]:
    """The train and the test rows of a config, without a folder."""
    mixture = Mixture.from_config(parse_config(raw))
    return tuple([row for table in split for row in table.to_pylist()] for split in (mixture.train(), mixture.test()))


def write_jsonl(path: Path, records: list[dict]) -> str:
    """Writes the records, one a line."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def make_unreadable(folder: Path, problem_id: str) -> None:
    """Replaces a train problem's gold answer by one that the verifier cannot read: a mixture that something else has built."""
    path = folder / "train.parquet"
    rows = pq.read_table(path)
    answers = ["x" * 500 if row["problem_id"] == problem_id else row["answer"] for row in rows.to_pylist()]
    pq.write_table(rows.set_column(rows.schema.get_field_index("answer"), "answer", pa.array(answers)), path)
