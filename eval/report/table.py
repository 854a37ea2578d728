"""`eval table`: all evals of an ablation in one table (parquet and Markdown), and figures with bands over seeds."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_mix import files
from data_mix.errors import InputError
from eval.report import figures
from eval.report.results import write_results
from eval.scoring.eval_folder import read_metrics

COLUMNS = ("accuracy", "p_long", "accuracy_long", "accuracy_short", "length_mean", "length_p50", "truncated")


@dataclass(frozen=True)
class Table:
    """An ablation's evals.

    Attributes:
        head: column names.
        lines: cells as text.
        parts: source, or a field of the problems' meta → column names and cells of the table with a line per value of it.
        done: a sentence on how many evals are done.
        figures: the figures drawn.
        folders: name → eval folder of every finished eval.
    """

    head: list[str]
    lines: list[list[str]]
    parts: dict[str, tuple[list[str], list[list[str]]]]
    done: str
    figures: list[figures.Figure]
    folders: dict[str, str]

    def markdown(self) -> str:
        """The table as Markdown."""
        parts = [f"By {field}:\n\n{_markdown(head, lines)}\n\n" for field, (head, lines) in self.parts.items()]
        return f"{_markdown(self.head, self.lines)}\n\n{''.join(parts)}{self.done}\n"


def write_table(out: str) -> Table:
    """Writes OUT/table.parquet, OUT/table.md, OUT/results.jsonl and OUT/figures/*.png from the finished evals.

    Raises:
        InputError: when `out` is not an ablation's folder, or no eval in it is finished.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = Path(out)
    evals = read_evals(folder)
    finished = [entry for entry in evals if (folder / entry["folder"] / "metrics.json").is_file()]
    metrics = [read_metrics(str(folder / e["folder"])) for e in finished]
    forms = sorted({form for one in metrics for form in one.get("by_form", {})} - {"long", "short"})
    rows = [{**e["axes"], **flatten(e["stage"], e["kind"], one, forms)} for e, one in zip(finished, metrics, strict=True)]
    if not rows:
        raise InputError(f"{out}: none of its {len(evals)} evals is done; `python -m launch ablate FILE.yaml` resumes it")
    axes = list(dict.fromkeys(axis for entry in evals for axis in entry["axes"]))
    with files.new_file(folder / "table.parquet") as path:
        names = dict.fromkeys(name for row in rows for name in row)
        pq.write_table(pa.table({name: _column([row.get(name) for row in rows]) for name in names}), path)
    write_results(folder, finished, rows)
    columns = _columns(forms)
    groups = average_seeds(rows, [axis for axis in axes if axis != "seed"], columns)
    (folder / "figures").mkdir(exist_ok=True)
    drawn = []
    short = figures.short_names(groups)
    for axis in axes:
        values = [group["axes"][axis] for group in groups if axis in group["axes"]]
        if axis != "seed" and len({str(value) for value in values}) > 1:
            path = folder / "figures" / f"{short[axis]}.png"
            drawn.append(figures.draw_axis(groups, axis, path))
            if all(isinstance(value, int | float) for value in values):
                drawn.append(figures.draw_map(groups, axis, path.with_stem(f"{path.stem}_map")))
    folders = {entry["folder"].removeprefix("eval/"): str(folder / entry["folder"]) for entry in finished}
    table = Table(
        *as_text(groups, columns),
        _parts(finished, metrics, axes, forms),
        f"{len(rows)} of {len(evals)} evals are done.",
        drawn,
        folders,
    )
    files.write_text(folder / "table.md", table.markdown())
    return table


def _column(values: list):
    """An Arrow array; of texts if the values have several types, as those of an axis can."""
    import pyarrow as pa

    try:
        return pa.array(values)
    except pa.ArrowException:
        return pa.array([None if value is None else str(value) for value in values])


def breakdowns(metrics: dict) -> dict[str, dict[str, dict]]:
    """`source` and each field of meta that has several values → value → its metrics; empty for an eval of an older version."""
    fields = {"source": metrics.get("by_source", {}), **metrics.get("by_meta", {})}
    return {field: values for field, values in fields.items() if len(values) > 1}


def _columns(forms: list[str]) -> list[str]:
    """COLUMNS, and those of forms besides long and short."""
    return [*COLUMNS, *(f"{measure}_{form}" for form in forms for measure in ("p", "accuracy"))]


def _parts(
    evals: list[dict], metrics: list[dict], axes: list[str], forms: list[str]
) -> dict[str, tuple[list[str], list[list[str]]]]:
    """The tables by source and by field of meta, averaged over seeds."""
    rows: dict[str, list[dict]] = {}
    for entry, one in zip(evals, metrics, strict=True):
        for field, values in breakdowns(one).items():
            for value, own in values.items():
                row = {**entry["axes"], f"by {field}": value, **flatten(entry["stage"], entry["kind"], own, forms)}
                rows.setdefault(field, []).append(row)
    others, columns = [axis for axis in axes if axis != "seed"], _columns(forms)
    return {field: as_text(average_seeds(own, [*others, f"by {field}"], columns), columns) for field, own in rows.items()}


def _markdown(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *lines))


def read_evals(folder: Path) -> list[dict]:
    """Reads an ablation's evals.json: folder, stage, kind and axes of each eval.

    Raises:
        InputError: when it is missing or malformed, or a path in it may lead out of the ablation's folder.
    """
    path = folder / "evals.json"
    if not path.is_file():
        raise InputError(f"{folder}: no evals.json in it; `python -m launch ablate FILE.yaml` writes it")
    fix = "`python -m launch ablate FILE.yaml` writes it again"
    try:
        evals = json.loads(path.read_text(encoding="utf-8"))
        paths = [Path(entry["folder"]) for entry in evals]
        unsafe = [str(path) for path in paths if path.is_absolute() or ".." in path.parts]
        unsafe += [axis for entry in evals for axis in entry["axes"] if not re.fullmatch(r"[\w.+-]+", axis)]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: not a list of evals; {fix}") from None
    if unsafe:
        raise InputError(f"{path}: {unsafe[0]!r} may lead out of {folder}; {fix}")
    return evals


def flatten(stage: str, kind: str, metrics: dict, forms: Sequence[str] = ()) -> dict:
    """One table row from the metrics.json of an eval of a stage's model; `kind` is greedy, sampled, etc.

    For each of `forms` it has the share of completions in that form, `p_FORM`, and their accuracy, `accuracy_FORM`.
    """
    low, high = metrics["accuracy"]["ci95"]
    accuracy = {"accuracy": metrics["accuracy"]["value"], "accuracy_low": low, "accuracy_high": high}
    lengths = {f"length_{name}": value for name, value in metrics["length"].items()}
    plain = ("p_long", "accuracy_long", "accuracy_short", "truncated", "n_problems", "n_samples", "temperature")
    own = {}
    for form in forms:
        of_form = metrics.get("by_form", {}).get(form, {"share": 0.0, "accuracy": None})
        own |= {f"p_{form}": of_form["share"], f"accuracy_{form}": of_form["accuracy"]}
    return {"stage": stage, "kind": kind, **accuracy, **lengths} | {name: metrics[name] for name in plain} | own


def average_seeds(rows: list[dict], axes: list[str], columns: Sequence[str] = COLUMNS) -> list[dict]:
    """Groups the rows that differ only in their seed, and averages them.

    Returns:
        Groups with `axes`, stage, kind, `seeds` (how many), and for each of `columns` its mean, minimum and maximum, or None.
    """
    by_cell: dict[str, list[dict]] = {}
    for row in rows:
        key = json.dumps([row["stage"], row["kind"], *[row.get(axis) for axis in axes]])
        by_cell.setdefault(key, []).append(row)
    groups = []
    for members in by_cell.values():
        first = members[0]
        group = {"axes": {axis: "null" if first[axis] is None else first[axis] for axis in axes if axis in first}}
        group |= {"stage": first["stage"], "kind": first["kind"], "seeds": len(members)}
        for name in columns:
            values = [member[name] for member in members if member[name] is not None]
            group[name] = (float(np.mean(values)), min(values), max(values)) if values else None
        groups.append(group)
    return groups


def as_text(groups: list[dict], columns: Sequence[str] = COLUMNS) -> tuple[list[str], list[list[str]]]:
    """Column names and cells of the table of groups: mean [minimum, maximum] over seeds."""
    axes = figures.short_names(groups)
    lines = []
    for group in groups:
        line = [str(group["axes"].get(axis, "")) for axis in axes]
        line += [group["stage"], group["kind"], str(group["seeds"])]
        line += ["-" if group[name] is None else _with_range(*group[name], group["seeds"]) for name in columns]
        lines.append(line)
    return [*axes.values(), "stage", "decoding", "seeds", *columns], lines


def _with_range(mean: float, low: float, high: float, seeds: int) -> str:
    digits = 1 if mean >= 10 else 3
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]" if seeds > 1 else f"{mean:.{digits}f}"
