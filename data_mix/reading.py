"""Reads records from jsonl, parquet or the hub, and reports all broken ones."""

import contextlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_mix.errors import InputError
from data_mix.files import reading, reason, sha256_of
from data_mix.hub import is_hub_id, missing_part
from data_mix.problem import Problem

MAX_FIELD = 100_000  # characters; far more than any real problem or solution has
# A parquet file may expand to MAX_EXPANDED bytes or MAX_RATIO times its size, whichever is larger; text compresses at most 20x.
MAX_EXPANDED, MAX_RATIO = 2**27, 200
_CHUNK = 2**24  # bytes of records decoded at a time
SUFFIXES = (".jsonl", ".parquet")
NAN = ("nan", "NaN")  # as written by Python and JSON; Nan is a name
GROUPING_COMMA = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")  # of 1,234


@dataclass(frozen=True)
class Records:
    """All problems of a source.

    Attributes:
        train, test: the problems of each split; None if the source does not have it. A single file is `train`.
        origin: for the manifest, the path with each file's sha256, or the hub id and revision.
        broken: number of records dropped from each split.
    """

    train: list[Problem] | None
    test: list[Problem] | None
    origin: dict
    broken: dict[str, int]

    def splits(self) -> dict[str, list[Problem]]:
        """The problems of each split that the source has."""
        return {split: problems for split in ("train", "test") if (problems := getattr(self, split)) is not None}


def read_records(
    name: str,
    make_problem: Callable[[dict, str], Problem | None],
    on_error: str,
    path: str,
    revision: str | None = None,
    config: str | None = None,
) -> Records:
    """Reads the problems at `path`: a folder with train and test as jsonl or parquet, a single such file, or a hub id.

    `make_problem` takes a record and a default id. It raises InputError with the reason if the record is broken, and returns
    None for a known defect of the dataset. Known defects are always dropped, broken records only if `on_error` is `drop`.

    Raises:
        InputError: when there is nothing at `path`, for all broken records together unless they are dropped, or when every
            record is broken.
    """
    splits, origin = _find_splits(path, revision, config)
    problems: dict[str, list[Problem]] = {}
    ids: set[str] = set()
    broken: list[str] = []
    dropped: dict[str, int] = {}
    for split, (place, records) in splits.items():
        problems[split], i = [], -1
        for i, record in enumerate(records()):
            try:
                if isinstance(record, InputError):
                    raise record
                problem = make_problem(record, f"{name}/{split}/{i}")
                if problem is None:
                    continue
                if problem.id in ids:
                    raise InputError(f"duplicate id {problem.id!r}")
                ids.add(problem.id)
                problems[split].append(replace(problem, record=record))
            except InputError as error:
                broken.append(f"{place}:{i + 1}: {error}")
        dropped[split] = i + 1 - len(problems[split])
    total = len(broken) + sum(map(len, problems.values()))
    if broken and (on_error == "refuse" or len(broken) == total):
        first = "; ".join(broken[:3]) + ("; ..." if len(broken) > 3 else "")
        fix = "check the file and the names of its columns" if len(broken) == total else "fix them, or set `on_error: drop`"
        raise InputError(f"{name}: {len(broken)} of {total} records are broken: {first}", fix)
    return Records(problems.get("train"), problems.get("test"), origin, dropped)


def text_field(record: dict, key: str, number: bool = False) -> str:
    """The text at `key`, stripped. With `number`, numbers are accepted too, and formatted without `.0`.

    Raises:
        InputError: when the value is missing, empty, of another type, not finite, longer than MAX_FIELD, or not valid text.
    """
    if key not in record:
        raise InputError(f"no `{key}`")
    value = record[key]
    if number and isinstance(value, list) and len(value) == 1:
        value = value[0]
    if number and isinstance(value, (int, float)) and not isinstance(value, bool):
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"`{key}` is {value}, not a finite number")
        return str(int(value)) if abs(value) < 2**53 and value == int(value) else str(value)
    if not isinstance(value, str):
        raise InputError(f"`{key}` is {type(value).__name__}, not text")
    if not value.strip() or (number and value.strip() in NAN):  # an empty table cell converted to text
        raise InputError(f"`{key}` is {value.strip() or 'empty'}")
    if len(value) > MAX_FIELD:
        raise InputError(f"`{key}` is {len(value)} characters long, more than {MAX_FIELD}")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError(f"`{key}` contains a NUL or an unpaired surrogate")
    return value.strip()


def _find_splits(path: str, revision: str | None, config: str | None) -> tuple[dict[str, tuple], dict]:
    """For each split its location, for error messages, and a function that yields its records; and the origin."""
    local = Path(os.path.expanduser(path))
    if os.path.isfile(local):  # unlike Path.is_file, False for a name that is too long
        files = {"train": local}
    elif os.path.isdir(local):
        found = [
            file for split in ("train", "test") for suffix in SUFFIXES if os.path.isfile(file := local / f"{split}{suffix}")
        ]
        files = {file.stem: file for file in found}
        if not files:
            raise InputError(f"{path}: no train or test file; add train.jsonl, train.parquet, test.jsonl or test.parquet")
        if len(files) < len(found):
            raise InputError(f"{path} has the same split twice, in {', '.join(file.name for file in found)}; remove one")
    elif is_hub_id(path):
        return _find_on_hub(path, revision, config)
    else:
        raise InputError(
            f"path '{path}': no such file or folder, and not a hub id (owner/name); {missing_part(path)} is missing"
        )
    for file in files.values():
        if file.suffix not in SUFFIXES:
            raise InputError(f"{file}: must be .jsonl or .parquet")
    readers = {".jsonl": _jsonl, ".parquet": _parquet}
    splits = {split: (str(file), lambda file=file: readers[file.suffix](file)) for split, file in files.items()}
    origin = {"path": path, "sha256": {}}
    for file in files.values():
        with reading(file):
            origin["sha256"][file.name] = sha256_of(file)
    return splits, origin


def _jsonl(file: Path) -> Iterator[dict | InputError]:
    blank = 0
    with reading(file), file.open("rb") as lines:
        for i, line in enumerate(lines):
            if not line.strip():
                blank += 1
                continue
            yield from [InputError("not JSON (a blank line)")] * blank  # blank lines at the end of the file are ignored
            blank = 0
            try:
                record = json.loads(line.decode("utf-8-sig" if i == 0 else "utf-8"))
            except (ValueError, RecursionError) as error:  # ValueError covers UnicodeDecodeError and JSONDecodeError
                yield InputError(f"not JSON ({str(error)[:80]})")
                continue
            yield record if isinstance(record, dict) else InputError("not a JSON object")


def _parquet(file: Path) -> Iterator[dict | InputError]:
    """Yields the records in bounded memory: a few KB can decompress to GiBs, or repeat one long text many times.

    Text columns are read dictionary-encoded and decoded in chunks, once their decoded size is known.
    """
    import pyarrow.parquet as pq

    with reading(file):
        limit = max(MAX_EXPANDED, MAX_RATIO * file.stat().st_size)
        bomb = InputError(f"{file}: expands to more than {limit >> 20} MiB and {MAX_RATIO} times its size; check the file")
        plain = pq.ParquetFile(file)
        twice = [name for name in plain.schema_arrow.names if plain.schema_arrow.names.count(name) > 1]
        if twice:
            raise InputError(f"{file}: two columns are called '{twice[0]}'; rename one")
        columns = [plain.schema.column(i) for i in range(len(plain.schema))]
        if _declared_size(plain.metadata, columns) > limit:
            raise bomb
        encodings = _encodings(plain.metadata, columns)
        if any("DELTA_BYTE_ARRAY" in used for used in encodings.values()):
            raise InputError(f"{file}: DELTA_BYTE_ARRAY does not declare its decoded size; rewrite the file without it")
        dictionaries = [path for path, used in encodings.items() if not any("DELTA" in encoding for encoding in used)]
        size = 0
        for batch in pq.ParquetFile(file, read_dictionary=dictionaries).iter_batches(batch_size=4096):
            batch_size = sum(map(_decoded_size, batch.columns))
            size += batch_size
            if size > limit:
                raise bomb
            yield from _decode(batch, batch_size, plain.schema_arrow)


def _encodings(metadata, columns: list) -> dict[str, set[str]]:
    """The encodings of each text column, by column path."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    return {
        column.path: {encoding for group in groups for encoding in group.column(i).encodings}
        for i, column in enumerate(columns)
        if column.physical_type == "BYTE_ARRAY"
    }


def _declared_size(metadata, columns: list) -> int:
    """Size in bytes of all records as declared in the file's metadata, plus Python's minimum overhead per row and value."""
    size = 500 * metadata.num_rows
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for i, column in enumerate(columns):
            chunk = group.column(i)
            size += chunk.total_uncompressed_size + chunk.num_values * max(100, column.length)
    return size


def _decoded_size(array) -> int:
    """Size in bytes of an Arrow array after decoding its dictionaries."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, pa.DictionaryArray):
        return pc.sum(pc.binary_length(array.dictionary).take(array.indices)).as_py() or 0
    if isinstance(array, pa.MapArray):
        start, end = array.offsets[0].as_py(), array.offsets[-1].as_py()
        return sum(_decoded_size(part.slice(start, end - start)) for part in (array.keys, array.items))
    if isinstance(array, pa.StructArray):
        return sum(map(_decoded_size, array.flatten()))
    return _decoded_size(array.flatten()) if pa.types.is_nested(array.type) else array.nbytes


def _decode(batch, size: int, schema) -> Iterator[dict | InputError]:
    """The records of a batch of `size` bytes with dictionaries decoded to `schema`; large batches are bisected first."""
    import pyarrow as pa

    if size <= _CHUNK:
        with contextlib.suppress(pa.ArrowNotImplementedError):  # e.g. string_view: same result, slower
            batch = batch.cast(schema)
        short = [name for name, type in zip(schema.names, schema.types, strict=True) if pa.types.is_float32(type)]
        records = batch.to_pylist()
        for record in records if short else ():  # a float32 of 5.1 is 5.099999904632568 as a float
            record |= {name: float(str(np.float32(record[name]))) for name in short if record[name] is not None}
        yield from records
    elif len(batch) == 1:
        yield InputError(f"one record of {size} bytes")
    else:
        middle = len(batch) // 2
        for half in (batch.slice(0, middle), batch.slice(middle)):
            yield from _decode(half, sum(map(_decoded_size, half.columns)), schema)


def _find_on_hub(path: str, revision: str | None, config: str | None) -> tuple[dict[str, tuple], dict]:
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    try:
        data = load_dataset(path, name=config, revision=revision)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:  # not found, no network, a script, a broken file, ...
        raise InputError(f"hub dataset '{path}' cannot be loaded ({reason(error)}); set `path` to a local copy") from None
    splits = {split: (f"{path} {split}", data[split].__iter__) for split in ("train", "test") if split in data}
    # `revision` may be a branch or tag; the commit that was loaded is in the download URLs.
    urls = {url for split in data.values() for url in (split.info.download_checksums or {})}
    loaded = sorted({url.split("@", 1)[1].split("/", 1)[0] for url in urls if "@" in url})
    return splits, {"hub": path, "revision": revision, "loaded": loaded}
