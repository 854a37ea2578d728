"""The mixture folder: train.parquet, test.parquet and manifest.json, written, read and shown."""

import collections
import hashlib
import importlib.metadata
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

from data_mix.config import MixtureConfig
from data_mix.errors import InputError
from data_mix.mixture import make_rows

COLUMNS = ("problem_id", "source", "form", "prompt", "completion", "answer", "meta")
PACKAGES = ("cotmix", "pyarrow", "datasets", "reasoning_gym")


def build(config: MixtureConfig, out: str) -> dict:
    """Builds the mixture into the new folder `out` and returns its manifest. The folder appears whole or not at all.

    Raises:
        InputError: when `out` exists already, or the config cannot be met.
    """
    target = Path(out)
    if is_taken(out):
        raise InputError(f"{out} exists already; give another --out, or remove it first")
    count_length, unit = _length_counter(config)
    train, test = make_rows(config)
    aside = target.with_name(f".{target.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for name, rows in (("train", train), ("test", test)):
        _write_parquet(rows, aside / f"{name}.parquet", config.chat)
    manifest = {
        "config": asdict(config),
        "seed": config.seed,
        "versions": {name: _version(name) for name in PACKAGES},
        "sources": {s.task: _source_files(s.options.get("path")) for s in config.sources},
        "rows": {"train": len(train), "test": len(test)},
        "counts": _counts(train, count_length),
        "length_unit": unit,
        "sha256": {f"{name}.parquet": _sha256(aside / f"{name}.parquet") for name in ("train", "test")},
    }
    (aside / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if target.is_dir():
        target.rmdir()
    os.replace(aside, target)
    return manifest


def is_taken(path: str) -> bool:
    """Whether `path` holds anything already: a file, or a folder that is not empty. Nothing is ever written over it."""
    target = Path(path)
    return target.exists() and (not target.is_dir() or any(target.iterdir()))


def read_rows(folder: str, split: str) -> list[dict]:
    """The rows of one split, with `meta` parsed.

    Raises:
        InputError: when the folder is not a mixture.
    """
    import pyarrow.parquet as pq

    check_folder(folder)
    rows = pq.read_table(Path(folder) / f"{split}.parquet").to_pylist()
    for row in rows:
        row["meta"] = json.loads(row["meta"])
    return rows


def check_folder(folder: str) -> None:
    """Raises InputError unless `folder` is a mixture folder."""
    if not (Path(folder) / "manifest.json").is_file():
        raise InputError(f"{folder}: not a mixture folder; make one with `python -m data_mix build CONFIG.yaml --out {folder}`")


def show(folder: str) -> str:
    """The manifest as a table and three rows of each form, as text."""
    check_folder(folder)
    manifest = json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8"))
    unit = manifest["length_unit"]
    n_train, n_test = manifest["rows"]["train"], manifest["rows"]["test"]
    lines = [f"{folder}: {n_train} train rows, {n_test} test rows, seed {manifest['seed']}", ""]
    lines.append(f"{'source':<16}{'form':<12}{'rows':>8}{'share':>9}   {unit}: p50   p95   max")
    for c in manifest["counts"]:
        length = f"{c['p50']:>{len(unit) + 5}}{c['p95']:>6}{c['max']:>6}"
        lines.append(f"{c['source']:<16}{c['form']:<12}{c['rows']:>8}{c['rows'] / n_train:>9.4f}   {length}")
    by_form = collections.defaultdict(list)
    for row in read_rows(folder, "train"):
        if len(by_form[row["form"]]) < 3:
            by_form[row["form"]].append(row)
    for form, rows in by_form.items():
        lines += ["", f"--- {form}"]
        for row in rows:
            lines.append(f"{text_of(row['prompt'])}\n  -> " + text_of(row["completion"]).replace("\n", "\n     "))
    return "\n".join(lines)


def text_of(messages: str | list[dict]) -> str:
    """The text of a prompt or completion: a string as it is, or the last message's content."""
    return messages if isinstance(messages, str) else messages[-1]["content"]


def _length_counter(config: MixtureConfig):
    if config.tokenizer is None:
        return (lambda texts: [len(text) for text in texts]), "characters"
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(config.tokenizer)
    except (OSError, ValueError) as error:
        raise InputError(f"tokenizer '{config.tokenizer}': cannot be loaded ({str(error).splitlines()[0]})") from None
    return (lambda texts: [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]), "tokens"


def _counts(rows: list[dict], count_length) -> list[dict]:
    cells = collections.defaultdict(list)
    for row, length in zip(rows, count_length([text_of(row["completion"]) for row in rows]), strict=True):
        cells[row["source"], row["form"]].append(length)
    counts = []
    for (source, form), lengths in sorted(cells.items()):
        lengths.sort()
        p50, p95 = (lengths[int(q * (len(lengths) - 1))] for q in (0.5, 0.95))
        cell = {"source": source, "form": form, "rows": len(lengths)}
        counts.append({**cell, "p50": p50, "p95": p95, "max": lengths[-1]})
    return counts


def _write_parquet(rows: list[dict], path: Path, chat: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])) if chat else pa.string()
    types = {"prompt": text, "completion": text}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _source_files(path: str | None) -> dict | None:
    if path is None:
        return None
    files = [Path(path) / f"{split}.jsonl" for split in ("train", "test")]
    return {"path": path, "sha256": {f.name: _sha256(f) for f in files if f.is_file()}}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
