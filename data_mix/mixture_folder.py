"""Builds, reads and verifies mixture folders: train.parquet, test.parquet, manifest.json and a dataset card."""

import collections
import contextlib
import importlib.metadata
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_mix import files, locks, own_code
from data_mix.errors import InputError
from data_mix.files import sha256_of
from data_mix.mixture_config import MixtureConfig, parse_config, raw_config
from rewards.own_code import is_own

PACKAGES = ("cotmix", "numpy", "pyarrow", "datasets", "reasoning_gym", "tokenizers")
MANIFEST = ("config", "seed", "versions", "sources", "rows", "counts", "length_unit", "sha256")
FILES = ("train.parquet", "test.parquet", "manifest.json", "README.md")


def build(config: MixtureConfig, out: str) -> dict:
    """Builds the mixture into the folder `out`, atomically, and returns its manifest.

    `out` must be missing or empty. If it is a symbolic link, the same holds for its target.

    Raises:
        InputError: when `out` is not empty or cannot be written, or the sources cannot satisfy the config.
    """
    taken = InputError(f"{out} exists already; give another --out, or remove it first")
    target = Path(os.path.realpath(out))
    try:
        if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
            raise taken
        if target.is_mount() or target == Path.cwd():
            kind = "the current folder" if target == Path.cwd() else "a mount point"
            raise InputError(f"{out} is {kind}, which cannot be replaced; give a folder inside it, e.g. {out}/mixture")
        blocking = next(parent for parent in target.parents if parent.exists())
        if not blocking.is_dir():
            raise InputError(f"{out} cannot be built: {blocking} is a file; give another --out")
        with files.new_folder(target) as folder:
            return _fill(folder, config)
    except FileExistsError:  # another process has built it in the meantime
        raise taken from None
    except OSError as error:
        raise InputError(f"{out} cannot be built ({str(error).splitlines()[0]}); give another --out") from None


def _fill(folder: Path, config: MixtureConfig) -> dict:
    """Writes the files of the mixture into an existing folder; returns the manifest."""
    from data_mix.card import write_card
    from data_mix.lengths import LengthCounter
    from data_mix.mixture import Mixture

    counter = LengthCounter(config.tokenizer)
    mixture = Mixture.from_config(config)
    lengths = _write(mixture.train(), folder / "train.parquet", config, counter, len(mixture))
    test = _write(mixture.test(), folder / "test.parquet", config, counter, config.n_test)
    manifest = {
        "config": raw_config(config),
        "seed": config.seed,
        "versions": {name: _version(name) for name in PACKAGES},
        "sources": {source.name: source.report for source in mixture.sources},
        "against": mixture.against,
        **({"code": code} if (code := _code(config)) else {}),
        "rows": {"train": len(mixture), "test": sum(histogram.total() for histogram in test.values())},
        "counts": [_count(*cell, histogram) for cell, histogram in sorted(lengths.items())],
        "length_unit": counter.unit,
        "sha256": {name: sha256_of(folder / name) for name in ("train.parquet", "test.parquet")},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(write_card(manifest), encoding="utf-8")
    return manifest


def verify(folder: str) -> None:
    """Rebuilds the mixture from its manifest in a temporary folder and compares all files byte for byte.

    Raises:
        InputError: naming the files that differ, and the package versions and source files that changed.
    """
    manifest = read_manifest(folder)
    with manifest_errors(folder):
        for spec, digest in manifest.get("code", {}).items():
            if own_code.sha256(spec) != digest:
                raise InputError(
                    f"{folder}: {spec} has changed since the mixture was built; restore it, or build a new mixture"
                )
        try:
            config = parse_config(manifest["config"])
        except InputError as error:
            raise InputError(f"{folder}/manifest.json: config: {error}") from None
    with tempfile.TemporaryDirectory() as scratch:
        again = build(config, f"{scratch}/again")
        pairs = [(Path(folder) / name, Path(scratch) / "again" / name) for name in FILES]
        differ = [a.name for a, b in pairs if not a.is_file() or sha256_of(a) != sha256_of(b)]
    if differ:
        with manifest_errors(folder):
            cause = "; ".join(_changes(manifest, again)) or "edited?"
        raise InputError(f"{folder}: {', '.join(differ)} differ from a rebuild from the manifest ({cause}); build it again")


def _code(config: MixtureConfig) -> dict[str, str]:
    """The user-defined functions that the config names, each with the sha256 of its file."""
    tasks = [source.task for source in config.sources if is_own(source.task)]
    functions = [form.function for form in config.own_forms.values() if form.function]
    return {spec: own_code.sha256(spec) for spec in [*tasks, *functions]}


def _changes(manifest: dict, again: dict) -> list[str]:
    """The package versions, sources and evaluation sets that changed between two manifests of one config."""
    then, now = manifest["versions"], again["versions"]
    changes = [f"{name} {then.get(name)} then, {now[name]} now" for name in now if then.get(name) != now[name]]
    origins = {name: source.get("origin") for name, source in manifest["sources"].items()}
    changes += [f"source {name} changed" for name in origins if origins[name] != again["sources"][name].get("origin")]
    before = manifest.get("against", {})
    return changes + [f"{name} changed" for name, origin in again["against"].items() if before.get(name) != origin]


def is_taken(path: str) -> bool:
    """Whether `path` is a file, or a folder that contains anything besides a lock, and so must not be overwritten."""
    target = Path(path)
    return target.exists() and (not target.is_dir() or any(entry.name != locks.NAME for entry in target.iterdir()))


def read_rows(folder: str, split: str) -> list[dict]:
    """The rows of one split, with `meta` parsed.

    Raises:
        InputError: when `folder` is not a mixture folder, or the file is broken, has no rows, or has a row of other types.
    """
    from data_mix.rows import read_file

    check_folder(folder)
    return read_file(Path(folder) / f"{split}.parquet")


def read_manifest(folder: str) -> dict:
    """The manifest of a mixture folder.

    Raises:
        InputError: when `folder` is not a mixture folder, or the file is broken.
    """
    check_folder(folder)
    return files.read_json(Path(folder) / "manifest.json", MANIFEST)


@contextlib.contextmanager
def manifest_errors(*folders: str) -> Iterator[None]:
    """Reports a field of a manifest that is missing or has another type: another version of cotmix, or an editor, wrote it."""
    try:
        yield
    except InputError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        names = " or ".join(f"{folder}/manifest.json" for folder in folders)
        raise InputError(f"{names} is not one that this cotmix wrote ({error}); build the mixture again") from None


def check_folder(folder: str) -> None:
    """Raises InputError unless `folder` is a mixture folder."""
    if not os.path.isfile(f"{folder}/manifest.json"):  # unlike Path.is_file, False for a name that is too long
        fix = f"build one with `python -m data_mix build CONFIG.yaml --out {folder}`"
        raise InputError(f"{folder}: not a mixture folder", fix)


def _write(batches: Iterable, path: Path, config: MixtureConfig, counter, rows: int) -> dict[tuple, collections.Counter]:
    """Writes the batches as row groups; returns a histogram of completion lengths for each source and form."""
    import pyarrow.parquet as pq
    from tqdm.auto import tqdm

    from data_mix.rows import completion_texts, schema

    lengths = collections.defaultdict(collections.Counter)
    repeating = ["source", "form"]  # for columns of distinct texts, dictionaries would be built only to be discarded
    with (
        pq.ParquetWriter(path, schema(config), use_dictionary=repeating) as writer,
        tqdm(total=rows, desc=path.stem, unit=" rows", delay=2) as bar,
    ):
        for batch in batches:
            writer.write_table(batch)
            cells = batch.select(["source", "form"]).append_column("length", counter.column(completion_texts(batch)))
            for cell in cells.group_by(["source", "form", "length"]).aggregate([([], "count_all")]).to_pylist():
                lengths[cell["source"], cell["form"]][cell["length"]] += cell["count_all"]
            bar.update(len(batch))
    return lengths


def _count(source: str, form: str, histogram: collections.Counter) -> dict:
    """The manifest's entry for one source and form."""
    ordered = sorted(histogram.items())
    rows = histogram.total()

    def quantile(q: float) -> int:
        rank = int(q * (rows - 1))
        for length, count in ordered:
            rank -= count
            if rank < 0:
                return length

    bins = collections.Counter()
    for length, count in ordered:
        bins[1 << max(length - 1, 0).bit_length()] += count  # bins by upper edge: 1, 2, 4, 8, ...
    return {
        "source": source,
        "form": form,
        "rows": rows,
        "total": sum(length * count for length, count in ordered),
        "p50": quantile(0.5),
        "p95": quantile(0.95),
        "max": ordered[-1][0],
        "histogram": {str(edge): count for edge, count in sorted(bins.items())},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
