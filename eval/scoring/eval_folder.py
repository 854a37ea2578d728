"""Reads, scores and writes eval folders: completions.parquet and metrics.json. Rescoring needs only the parquet file."""

import contextlib
import json
from pathlib import Path

from data_mix import files
from data_mix.errors import InputError
from eval.scoring.metrics import compute_metrics
from rewards.scorer import Item, score

COMPLETIONS, METRICS = "completions.parquet", "metrics.json"
COLUMNS = ("problem_id", "source", "sample", "prompt", "completion", "answer", "meta", "n_tokens", "truncated")
PARTS = (("accuracy", "value"), ("length", "p50"))  # numbers that every metrics.json has
KEYS = (
    "accuracy",
    "length",
    "p_long",
    "accuracy_long",
    "accuracy_short",
    "truncated",
    "n_problems",
    "n_samples",
    "temperature",
)
INFO = b"cotmix.eval"  # key of the eval's settings in the parquet file's metadata


def score_rows(rows: list[dict]) -> list[dict]:
    """Adds the verifier's form, extracted, outcome and strict_outcome to the rows."""
    verdicts = score([Item(row["completion"], row["answer"], json.loads(row["meta"]), row["truncated"]) for row in rows])
    names = ("form", "extracted", "outcome", "strict_outcome")
    return [{**row, **{name: getattr(v, name) for name in names}} for row, v in zip(rows, verdicts, strict=True)]


def describe_decoding(info: dict) -> str:
    """How the completions of an eval with these settings were decoded, in words."""
    return "greedy" if info["temperature"] == 0 else f"sampled at temperature {info['temperature']:g}"


def write_folder(folder: str, rows: list[dict], info: dict) -> dict:
    """Scores the rows, writes the folder and returns its metrics. A new folder is written atomically, else each file is.

    Args:
        folder: eval folder; files in it are replaced.
        rows: problem_id, source, sample, prompt, completion, answer, meta (JSON), n_tokens, truncated.
        info: the eval's settings: model, temperature, seed, max_tokens, and what else determines completions and scores.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = score_rows(rows)
    metrics = compute_metrics(rows, info)
    table = pa.Table.from_pylist(rows)
    # the column would have no type if all its values were None
    table = table.set_column(table.schema.get_field_index("extracted"), "extracted", table["extracted"].cast(pa.string()))
    target = Path(folder).resolve()  # a folder cannot be renamed onto a symlink
    is_new = not target.exists() or not any(target.iterdir())
    with files.new_folder(target) if is_new else contextlib.nullcontext(target) as into:
        with files.new_file(into / COMPLETIONS) as path:
            pq.write_table(table.replace_schema_metadata({INFO: json.dumps(info)}), path)
        files.write_text(into / METRICS, json.dumps(metrics, indent=2) + "\n")
    return metrics


def read_completions(folder: str) -> tuple[list[dict], dict]:
    """The rows of completions.parquet, and the settings stored with them.

    Raises:
        InputError: when it is not an eval folder.
    """
    info = read_settings(folder)
    return files.read_parquet(Path(folder) / COMPLETIONS, COLUMNS).to_pylist(), info


def read_settings(folder: str) -> dict:
    """The settings stored in completions.parquet.

    Raises:
        InputError: when it is not an eval folder, or the file is broken.
    """
    path = Path(folder) / COMPLETIONS
    if not path.is_file():
        fix = f"create one with `python -m eval run ... --out {folder}`"
        raise InputError(f"{folder}: not an eval folder (no completions.parquet)", fix)
    metadata = files.read_parquet(path, groups=0).schema.metadata or {}
    if INFO not in metadata:
        raise InputError(f"{path} is not a file that `eval run` wrote: it has no settings")
    return json.loads(metadata[INFO])


def read_metrics(folder: str) -> dict:
    """The content of metrics.json.

    Raises:
        InputError: when there is none.
    """
    path = Path(folder) / METRICS
    if not path.is_file():
        raise InputError(f"{folder}: no metrics.json; create it with `python -m eval score {folder}`")
    metrics = files.read_json(path, KEYS)
    numbers = [metrics[part].get(name) for part, name in PARTS if isinstance(metrics[part], dict)]
    if len(numbers) < len(PARTS) or not all(isinstance(number, int | float) for number in numbers):
        raise InputError(f"{path} is not a file that cotmix wrote: {' or '.join(part for part, _ in PARTS)} has no number")
    return metrics


def format_metrics(metrics: dict) -> str:
    """The main metrics as one line of text."""
    low, high = metrics["accuracy"]["ci95"]
    return (
        f"accuracy {metrics['accuracy']['value']:.3f} [{low:.3f}, {high:.3f}]  median length {metrics['length']['p50']:g}  "
        f"p_long {metrics['p_long']:.3f}  truncated {metrics['truncated']:.3f}  "
        f"({metrics['n_problems']} problems x {metrics['n_samples']}, temperature {metrics['temperature']:g})"
    )
