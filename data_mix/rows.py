"""The columns of a mixture's parquet files, with prompts as plain text or as chat messages."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_mix import files
from data_mix.errors import InputError
from data_mix.mixture_config import MixtureConfig

COLUMNS = ("problem_id", "source", "form", "prompt", "completion", "answer", "meta")
BATCH = 65_536  # rows generated, measured and written at a time


def schema(config: MixtureConfig) -> pa.Schema:
    """The Arrow schema of the parquet files."""
    text = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])) if config.chat else pa.string()
    return pa.schema([(name, text if name in ("prompt", "completion") else pa.string()) for name in COLUMNS])


def as_prompts(columns: dict, config: MixtureConfig) -> dict[str, pa.Array]:
    """The columns as Arrow arrays, with the prompt template applied, and as chat messages if the mixture uses them."""
    columns = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    if config.prompt_template:
        before, after = config.prompt_template.split("{prompt}", 1)
        columns["prompt"] = pc.binary_join_element_wise(before, columns["prompt"], after, "")
    if config.chat:
        system = [("system", config.system)] if config.system else []
        columns["prompt"] = _messages([*system, ("user", columns["prompt"])])
        columns["completion"] = _messages([("assistant", columns["completion"])])
    return columns


def name_test_ids(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Ids of test problems, with `test` in each: `parity/0110` becomes `parity/test/0110`.

    Sources order their problems by the ids without it, so that a problem has one place in the order, whatever it is for.
    """
    named = pc.match_substring_regex(ids, r"(^|/)test(/|$)")
    return pc.if_else(named, ids, pc.replace_substring(ids, "/", "/test/", max_replacements=1))


def _messages(parts: list[tuple[str, pa.Array | str]]) -> pa.Array:
    """One list of messages per row, one message per (role, content); a content is a column, or one text for all rows."""
    n = len(parts[-1][1])
    contents = [pa.repeat(pa.scalar(c), n) if isinstance(c, str) else c for _, c in parts]
    by_row = pa.array(np.arange(n * len(parts)).reshape(len(parts), n).T.ravel())
    role = pa.concat_arrays([pa.repeat(pa.scalar(role), n) for role, _ in parts]).take(by_row)
    content = pa.concat_arrays(contents).take(by_row)
    offsets = pa.array(np.arange(0, n * len(parts) + 1, len(parts)), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays([role, content], ["role", "content"]))


def completion_texts(table: pa.Table) -> pa.ChunkedArray:
    """The completions as text: plain strings, or the content of their only message."""
    column = table["completion"]
    return column if pa.types.is_string(column.type) else pc.struct_field(pc.list_flatten(column), "content")


def read_file(file: Path, first: int | None = None) -> list[dict]:
    """The rows of a parquet file with `meta` parsed; all, or at most the `first` ones of the first row group.

    Raises:
        InputError: when the file is missing or broken, has no rows, or has a row in which a column has another type.
    """
    table = files.read_parquet(file, COLUMNS, groups=first and 1).slice(0, first)
    with files.reading(file):
        rows = table.to_pylist()
    if not rows:
        raise InputError(f"{file} has no rows; build the mixture again")
    for i, row in enumerate(rows):
        try:
            meta = json.loads(row["meta"])
        except (TypeError, ValueError, RecursionError):
            meta = None
        if not isinstance(meta, dict):
            raise _wrong_type(file, "meta", i, row)
        row["meta"] = meta
    for name in COLUMNS[:-1]:  # all but meta
        if pa.types.is_string(table[name].type) and not table[name].null_count:
            continue
        for i, row in enumerate(rows):
            value = row[name]
            if name in ("prompt", "completion") and isinstance(value, list) and value:
                value = value[-1].get("content") if isinstance(value[-1], dict) else None
            if not isinstance(value, str):
                raise _wrong_type(file, name, i, row)
    return rows


def _wrong_type(file: Path, name: str, i: int, row: dict) -> InputError:
    return InputError(f"{file}: `{name}` of row {i + 1} is {str(row[name])[:40]!r}; build the mixture again")
