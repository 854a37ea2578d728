"""`eval report`: writes a self-contained report.html for a run folder or an ablation, and its figures as PNG."""

import base64
from pathlib import Path

from data_mix import card, files
from data_mix.errors import InputError
from data_mix.files import read_json, read_json_lines
from eval.model_folder import read_recipe
from eval.report import browser, figures
from eval.report.table import breakdowns, write_table
from eval.scoring.eval_folder import read_completions, read_metrics
from eval.scoring.forecast import forecast, read_measured

TEMPLATES = Path(__file__).parent / "templates"
STAGES = ("base", "sft", "star", "grpo")
LOGGED = STAGES[1:]
LATEST = {
    "loss": "loss",
    "reward": "reward",
    "p_long": "p_long",
    "length": "length/mean",
    "held-out greedy accuracy": "heldout/greedy/accuracy",
    "held-out sampled p_long": "heldout/sampled/p_long",
}
MAX_COMPLETIONS = 20_000  # in the page of an ablation, over all its evals


def find_stages(run_dir: Path) -> dict[str, dict[str, Path]]:
    """A run's eval folders: stage → `{"greedy": path, "sampled": path}`, in pipeline order.

    A folder `NAME-sampled` is the sampled eval of stage NAME; any other name is a row of its own, greedy or sampled. Evals
    of tasks are in `NAME/TASK`.
    """
    stages: dict[str, dict[str, Path]] = {}
    for metrics in sorted([*run_dir.glob("eval/*/metrics.json"), *run_dir.glob("eval/*/*/metrics.json")]):
        name, *task = metrics.parent.relative_to(run_dir / "eval").parts
        kind = "sampled" if read_metrics(str(metrics.parent))["temperature"] > 0 else "greedy"
        stage = " ".join([name.removesuffix("-sampled") if kind == "sampled" else name, *task])
        if kind in stages.get(stage, {}):
            stage = " ".join([name, *task])
        stages.setdefault(stage, {})[kind] = metrics.parent
    order = {name: i for i, name in enumerate(STAGES)}
    return dict(sorted(stages.items(), key=lambda item: (order.get(item[0].split()[0], len(order)), item[0])))


def read_log(path: Path) -> list[dict]:
    """The entries of a log.jsonl; an empty list if there is no such file."""
    entries = read_json_lines(path) if path.is_file() else []
    for number, entry in enumerate(entries, 1):
        shown = [entry.get("step"), *(entry[key] for key in ("seconds", *LATEST.values()) if key in entry)]
        if not all(isinstance(value, int | float) for value in shown):
            raise InputError(f"{path}:{number} is not an entry that cotmix wrote")
    return entries


def pipeline_table(stages: dict[str, dict[str, Path]]) -> list[dict]:
    """One row per stage: greedy and sampled accuracy with intervals, median length, p_long, accuracy by form, truncation."""
    table = []
    for stage, kinds in stages.items():
        greedy, sampled = (read_metrics(str(kinds[kind])) if kind in kinds else None for kind in ("greedy", "sampled"))
        table.append(
            {
                "stage": stage,
                "greedy": greedy["accuracy"] if greedy else None,
                "sampled": sampled["accuracy"] if sampled else None,
                "median_length": (greedy or sampled)["length"]["p50"],
                "p_long_greedy": greedy["p_long"] if greedy else None,
                "p_long": sampled["p_long"] if sampled else None,
                "accuracy_long": sampled["accuracy_long"] if sampled else None,
                "accuracy_short": sampled["accuracy_short"] if sampled else None,
                "truncated": (greedy or sampled)["truncated"],
            }
        )
    return table


def progress_of(folder: Path, log: list[dict]) -> dict[str, str] | None:
    """The step of a stage in progress and its latest metrics, as text; None once the final model is there."""
    if any(folder.glob("*.safetensors")):
        return None
    recipe = read_recipe(str(folder)) or {}
    steps = recipe.get("rounds") or max(recipe.get("max_steps", 0), 0)
    latest = {label: entry[key] for label, key in LATEST.items() for entry in log if key in entry}
    row = {"stage": folder.name, "step": f"{log[-1]['step']} of {steps}" if steps else str(log[-1]["step"])}
    row["minutes"] = f"{log[-1].get('seconds', 0) / 60:.1f}"
    return row | {label: f"{latest[label]:.3f}" if label in latest else "-" for label in LATEST}


def parts_of(stages: dict[str, dict[str, Path]]) -> dict[str, list[dict]]:
    """The tables below the pipeline's: `form`, `source` or a field of meta → one row per eval and value.

    Only what has several values: then each row has `eval`, `value`, and some of share, n_problems, accuracy and lengths.
    """
    parts: dict[str, list[dict]] = {}
    for stage, kinds in stages.items():
        for kind, path in kinds.items():
            metrics = read_metrics(str(path))
            forms = metrics.get("by_form", {})
            for form, own in forms.items():
                row = {"share": own["share"], "accuracy": f"{own['accuracy']:.3f}", "length": own["length"]}
                parts.setdefault("form", []).append({"eval": f"{stage}, {kind}", "value": form, **row})
            for field, values in breakdowns(metrics).items():
                for value, own in values.items():
                    row = {name: own[name] for name in ("n_problems", "length", "p_long")}
                    row["accuracy"] = _with_interval(own["accuracy"])
                    parts.setdefault(field, []).append({"eval": f"{stage}, {kind}", "value": value, **row})
    return {field: rows for field, rows in parts.items() if len({row["value"] for row in rows}) > 1}


def format_table(table: list[dict]) -> str:
    """The pipeline table as text for the terminal."""
    lines = [f"{'stage':<8}{'greedy accuracy':>24}{'sampled accuracy':>24}{'median length':>15}{'p_long':>8}"]
    for row in table:
        cells = [_with_interval(row["greedy"]), _with_interval(row["sampled"])]
        p_long = "-" if row["p_long"] is None else f"{row['p_long']:.3f}"
        lines.append(f"{row['stage']:<8}{cells[0]:>24}{cells[1]:>24}{row['median_length']:>15g}{p_long:>8}")
    return "\n".join(lines)


def write_report(folder: str, refresh: int | None = None) -> str:
    """Writes FOLDER/report.html and FOLDER/figures/*.png; returns the table and the report's path as text.

    Args:
        folder: a run, which may be in progress, or an ablation.
        refresh: seconds after which the open page of a run reloads itself.

    Raises:
        InputError: when a run has neither a log nor a finished eval, or an ablation no finished eval.
    """
    run = Path(folder)
    text = _write_ablation(run) if (run / "evals.json").is_file() else _write_run(run, refresh)
    return f"{text}\nreport: {run / 'report.html'}"


def _write_run(run: Path, refresh: int | None) -> str:
    stages = find_stages(run)
    logs = {stage: read_log(run / stage / "log.jsonl") for stage in LOGGED}
    if not stages and not any(logs.values()):
        problem = f"{run}: no eval/*/metrics.json and no log.jsonl of a stage ({', '.join(LOGGED)}) in it"
        if (run / "log.jsonl").is_file():
            raise InputError(problem, f"give the folder that contains {run.resolve().name}/")
        raise InputError(problem, f"create an eval with `python -m eval run ... --out {run}/eval/sft`")
    folder = run / "figures"
    table = pipeline_table(stages)
    config, p_cot = _describe(run)
    evals = {f"{stage}, {kind}": str(path) for stage, kinds in stages.items() for kind, path in kinds.items()}
    completions = {name: read_completions(path)[0] for name, path in evals.items()}
    folder.mkdir(exist_ok=True)
    drawn = [
        figures.draw_curves(logs, folder / "curves.png"),
        figures.draw_rewards(logs["grpo"], folder / "rewards.png"),
        _draw_forecast(run, stages, folder / "forecast.png"),
    ]
    if completions:
        drawn += [
            figures.draw_budgets(completions, folder / "budgets.png"),
            figures.draw_lengths(completions, "form", folder / "length_by_form.png"),
            figures.draw_lengths(completions, "outcome", folder / "length_by_outcome.png"),
        ]
    progress = [row for stage, log in logs.items() if log and (row := progress_of(run / stage, log))]
    shown = [name for name in LATEST if any(row[name] != "-" for row in progress)]
    progress = [{name: value for name, value in row.items() if name not in LATEST or name in shown} for row in progress]
    parts = parts_of(stages)
    rest = {"table": table, "parts": parts, "progress": progress, "config": config, "p_cot": p_cot, "refresh": refresh}
    _render("report.html", run, drawn, browser.pack(completions), **rest)
    return "\n".join([format_table(table)] * bool(table) + [" ".join(f"{k} {v}" for k, v in row.items()) for row in progress])


def _write_ablation(run: Path) -> str:
    table = write_table(str(run))
    completions = {name: read_completions(path)[0] for name, path in table.folders.items()}
    packed = browser.pack(completions, min(browser.PER_EVAL, MAX_COMPLETIONS // len(completions)))
    _render("ablation.html", run, table.figures, packed, table=table, done=table.done)
    return table.markdown()


def _render(template: str, run: Path, drawn: list[figures.Figure | None], packed: dict, **rest) -> None:
    import jinja2

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True)
    environment.filters["interval"] = _with_interval
    images = [{"title": f.title, "text": f.text, "data": base64.b64encode(f.path.read_bytes()).decode()} for f in drawn if f]
    completions = browser.as_script(packed)
    rest |= {"completions": completions, "has_completions": bool(packed["evals"])}
    page = environment.get_template(template).render(run=run.resolve().name, figures=images, **rest)
    files.write_text(run / "report.html", page)


def _with_interval(accuracy: dict | None) -> str:
    if accuracy is None:
        return "-"
    low, high = accuracy["ci95"]
    return f"{accuracy['value']:.3f} [{low:.3f}, {high:.3f}]"


def _draw_forecast(run: Path, stages: dict[str, dict[str, Path]], path: Path) -> figures.Figure | None:
    if "sampled" not in stages.get("sft", {}) or not (run / "star" / "log.jsonl").is_file():
        return None
    try:
        measured = read_measured(str(run / "star"))
        predicted = forecast(str(stages["sft"]["sampled"]), len(measured) - 1)
    except InputError:  # no round yet, no held-out results, or only one form
        return None
    return figures.draw_forecast(predicted["p_long"], measured, predicted["flips_at"], path)


def _describe(run: Path) -> tuple[str | None, float | None]:
    """A one-line description of the run's mixture, and its p_cot; None if it has no manifest."""
    path = run / "mixture" / "manifest.json"
    if not path.is_file():
        return None, None
    manifest = read_json(path, ("config", "rows", "seed"))
    return card.describe(manifest), card.long_rows(manifest)
