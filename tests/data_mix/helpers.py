"""What the tests of data_mix share."""

import json
from pathlib import Path

from data_mix.config import parse_config
from data_mix.mixture import Mixture


def rows_of(raw: dict) -> tuple[list[dict], list[dict]]:
    """The train and the test rows of a config, without a folder."""
    mixture = Mixture.from_config(parse_config(raw))
    return tuple([row for table in split for row in table.to_pylist()] for split in (mixture.train(), mixture.test()))


def write_jsonl(path: Path, records: list[dict]) -> str:
    """Writes the records, one a line."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)
