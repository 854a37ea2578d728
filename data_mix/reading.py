"""Reading records that somebody wrote: jsonl, parquet or the hub; every broken one is found, counted and named."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data_mix.errors import InputError
from data_mix.problem import Problem

LONGEST = 100_000  # characters of one field; nothing that is a problem or a solution comes near
SUFFIXES = (".jsonl", ".parquet")


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
    broken: list[str] = []
    dropped: dict[str, int] = {}
    for split, (place, records) in splits.items():
        problems[split], i = [], -1
        for i, record in enumerate(records()):
            try:
                if isinstance(record, InputError):
                    raise record
                problem = make_problem(record, f"{name}/{split}/{i}")
                if problem is not None:
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
        InputError: when it is missing, empty, of another type, longer than LONGEST, or not text that can be stored.
    """
    if key not in record:
        raise InputError(f"no `{key}`")
    value = record[key]
    if number and isinstance(value, list) and len(value) == 1:
        value = value[0]
    if number and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(int(value)) if value == value and abs(value) < 2**53 and value == int(value) else str(value)
    if not isinstance(value, str):
        raise InputError(f"`{key}` is {type(value).__name__}, not text")
    if not value.strip():
        raise InputError(f"`{key}` is empty")
    if len(value) > LONGEST:
        raise InputError(f"`{key}` is {len(value)} characters long, more than {LONGEST}")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError(f"`{key}` holds a NUL or half a surrogate pair")
    return value.strip()


def _find_splits(path: str, revision: str | None, config: str | None) -> tuple[dict[str, tuple], dict]:
    """For each split a place to name in errors and a function that yields its records; and the origin."""
    from data_mix.hashing import sha256_of

    local = Path(path)
    if local.is_file():
        files = {"train": local}
    elif local.is_dir():
        found = {split: [local / f"{split}{suffix}" for suffix in SUFFIXES] for split in ("train", "test")}
        files = {split: file for split, candidates in found.items() for file in candidates[::-1] if file.is_file()}
        if not files:
            raise InputError(f"{path}: neither train nor test there, as .jsonl or .parquet")
    elif path.startswith((".", "/", "~")) or path.count("/") != 1 or local.suffix in SUFFIXES:
        raise InputError(f"path '{path}': no such file or folder, and not a hub id (owner/name)")
    else:
        return _find_on_hub(path, revision, config)
    for file in files.values():
        if file.suffix not in SUFFIXES:
            raise InputError(f"{file}: must be .jsonl or .parquet")
    readers = {".jsonl": _jsonl, ".parquet": _parquet}
    splits = {split: (str(file), lambda file=file: readers[file.suffix](file)) for split, file in files.items()}
    return splits, {"path": path, "sha256": {file.name: sha256_of(file) for file in files.values()}}


def _jsonl(file: Path) -> Iterator[dict | InputError]:
    with file.open("rb") as lines:
        for line in lines:
            try:
                record = json.loads(line.decode("utf-8"))
            except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
                yield InputError(f"not JSON ({str(error)[:80]})")
                continue
            yield record if isinstance(record, dict) else InputError("not a JSON object")


def _parquet(file: Path) -> Iterator[dict]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        batches = pq.ParquetFile(file).iter_batches()
        for batch in batches:
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file}: cannot be read as parquet ({str(error).splitlines()[0]})") from None


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
