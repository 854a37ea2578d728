"""Reading records that somebody wrote: jsonl, parquet or the hub; every broken one is found, counted and named."""

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data_mix.errors import InputError
from data_mix.hub import is_hub_id, missing_part
from data_mix.problem import Problem

LONGEST = 100_000  # characters of one field; nothing that is a problem or a solution comes near
# Limits of a parquet file's expanded size, in bytes and in file sizes, whichever is larger: text compresses 20 times at most.
EXPANDED, RATIO = 2**27, 200
_PIECE = 2**24  # bytes of records expanded at a time
SUFFIXES = (".jsonl", ".parquet")
NAN = ("nan", "NaN")  # as Python and JSON write it; Nan is a name


@dataclass(frozen=True)
class Records:
    """All problems of a source.

    Attributes:
        train, test: the problems of each split; None for a split that the source does not have. A single file is `train`.
        origin: where they came from, for the manifest: path with each file's sha256, or hub id and revision.
        broken: how many records of each split were dropped.
    """

    train: list[Problem] | None
    test: list[Problem] | None
    origin: dict
    broken: dict[str, int]


def read_records(
    name: str,
    make_problem: Callable[[dict, str], Problem | None],
    on_error: str,
    path: str,
    revision: str | None = None,
    config: str | None = None,
) -> Records:
    """Reads `path`: a folder with train and test as jsonl or parquet, one such file, or a hub id.

    `make_problem` takes a record and an id, and raises InputError with the reason why a record is broken. Such records are
    dropped where `on_error` is `drop`; those that a data set is known to have, for which it gives None, always.

    Raises:
        InputError: where there is nothing at `path`; and, unless they are dropped, for the broken records of all splits.
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
                    raise InputError(f"its id {problem.id!r} is there already")
                ids.add(problem.id)
                problems[split].append(problem)
            except InputError as error:
                broken.append(f"{place}:{i + 1}: {error}")
        dropped[split] = i + 1 - len(problems[split])
    if broken and on_error == "refuse":
        total = len(broken) + sum(map(len, problems.values()))
        first = "; ".join(broken[:3]) + ("; ..." if len(broken) > 3 else "")
        raise InputError(f"{name}: {len(broken)} of {total} records are broken: {first}. Mend them, or set `on_error: drop`")
    return Records(problems.get("train"), problems.get("test"), origin, dropped)


def text_field(record: dict, key: str, number: bool = False) -> str:
    """The text at `key`; with `number` a number is taken too, and written without `.0`.

    Raises:
        InputError: when it is missing, empty, of another type, not a finite number, longer than LONGEST, or not text that
            can be stored.
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
    if not value.strip() or (number and value.strip() in NAN):  # what a table's empty cell becomes as text
        raise InputError(f"`{key}` is {value.strip() or 'empty'}")
    if len(value) > LONGEST:
        raise InputError(f"`{key}` is {len(value)} characters long, more than {LONGEST}")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError(f"`{key}` holds a NUL or half a surrogate pair")
    return value.strip()


def _find_splits(path: str, revision: str | None, config: str | None) -> tuple[dict[str, tuple], dict]:
    """For each split a place to name in errors and a function that yields its records; and the origin."""
    from data_mix.hashing import sha256_of

    local = Path(path).expanduser()
    if local.is_file():
        files = {"train": local}
    elif local.is_dir():
        found = {split: [local / f"{split}{suffix}" for suffix in SUFFIXES] for split in ("train", "test")}
        files = {split: file for split, candidates in found.items() for file in candidates[::-1] if file.is_file()}
        if not files:
            raise InputError(f"{path}: neither train nor test there, as .jsonl or .parquet")
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
    return splits, {"path": path, "sha256": {file.name: sha256_of(file) for file in files.values()}}


def _jsonl(file: Path) -> Iterator[dict | InputError]:
    blank = 0
    with file.open("rb") as lines:
        for i, line in enumerate(lines):
            if not line.strip():
                blank += 1
                continue
            yield from [InputError("not JSON (a blank line)")] * blank  # those at the end are no records
            blank = 0
            try:
                record = json.loads(line.decode("utf-8-sig" if i == 0 else "utf-8"))
            except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
                yield InputError(f"not JSON ({str(error)[:80]})")
                continue
            yield record if isinstance(record, dict) else InputError("not a JSON object")


def _parquet(file: Path) -> Iterator[dict | InputError]:
    """The records, in bounded memory: a few KB can be compressed from GiBs, or repeat one text without end.

    Repeated texts are read as dictionaries, and expanded a few at a time, when their length is known.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        most = max(EXPANDED, RATIO * file.stat().st_size)
        bomb = InputError(f"{file}: expands to more than {most >> 20} MiB, {RATIO} times its size and more; no real text does")
        plain = pq.ParquetFile(file)
        columns = [plain.schema.column(i) for i in range(len(plain.schema))]
        if _declared(plain.metadata, columns) > most:
            raise bomb
        encodings = _encodings(plain.metadata, columns)
        if any("DELTA_BYTE_ARRAY" in used for used in encodings.values()):
            raise InputError(f"{file}: DELTA_BYTE_ARRAY does not declare how far it expands; write the file without it")
        repeating = [path for path, used in encodings.items() if not any("DELTA" in encoding for encoding in used)]
        size = 0
        for batch in pq.ParquetFile(file, read_dictionary=repeating).iter_batches(batch_size=4096):
            expanded = sum(map(_expanded, batch.columns))
            size += expanded
            if size > most:
                raise bomb
            yield from _expand(batch, expanded, plain.schema_arrow)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file}: cannot be read as parquet ({str(error).splitlines()[0]})") from None


def _encodings(metadata, columns: list) -> dict[str, set[str]]:
    """The encodings of each column of texts, by its path."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    return {
        column.path: {encoding for group in groups for encoding in group.column(i).encodings}
        for i, column in enumerate(columns)
        if column.physical_type == "BYTE_ARRAY"
    }


def _declared(metadata, columns: list) -> int:
    """Bytes that all records take by the file's own account, each row and value with the least that Python needs for it."""
    size = 500 * metadata.num_rows
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for i, column in enumerate(columns):
            chunk = group.column(i)
            size += chunk.total_uncompressed_size + chunk.num_values * max(100, column.length)
    return size


def _expanded(array) -> int:
    """Bytes of an arrow array when every value stands for itself, those of dictionaries too."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, pa.DictionaryArray):
        return pc.sum(pc.binary_length(array.dictionary).take(array.indices)).as_py() or 0
    if isinstance(array, pa.MapArray):
        start, end = array.offsets[0].as_py(), array.offsets[-1].as_py()
        return sum(_expanded(part.slice(start, end - start)) for part in (array.keys, array.items))
    if isinstance(array, pa.StructArray):
        return sum(map(_expanded, array.flatten()))
    return _expanded(array.flatten()) if pa.types.is_nested(array.type) else array.nbytes


def _expand(batch, size: int, schema) -> Iterator[dict | InputError]:
    """The records of a batch of `size` bytes, its dictionaries expanded to `schema`, half by half where they are large."""
    import pyarrow as pa

    if size <= _PIECE:
        with contextlib.suppress(pa.ArrowNotImplementedError):  # a type such as string_view: slower as it is, but the same
            batch = batch.cast(schema)
        yield from batch.to_pylist()
    elif len(batch) == 1:
        yield InputError(f"one record of {size} bytes")
    else:
        middle = len(batch) // 2
        for half in (batch.slice(0, middle), batch.slice(middle)):
            yield from _expand(half, sum(map(_expanded, half.columns)), schema)


def _find_on_hub(path: str, revision: str | None, config: str | None) -> tuple[dict[str, tuple], dict]:
    from datasets import load_dataset

    try:
        data = load_dataset(path, name=config, revision=revision)
    except (OSError, ValueError) as error:  # not found, no network, no such config or revision
        reason = str(error).splitlines()[0]
        raise InputError(f"hub data set '{path}' cannot be loaded ({reason}); a local copy can be named by `path`") from None
    splits = {split: (f"{path} {split}", data[split].__iter__) for split in ("train", "test") if split in data}
    # The revision that was really loaded stands in the fingerprinted download, whatever name it was asked for by.
    urls = {url for split in data.values() for url in (split.info.download_checksums or {})}
    loaded = sorted({url.split("@", 1)[1].split("/", 1)[0] for url in urls if "@" in url})
    return splits, {"hub": path, "revision": revision, "loaded": loaded}
