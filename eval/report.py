"""`eval report`: one self-contained report.html of a run folder, and each of its figures as PNG under figures/."""

import base64
import json
from pathlib import Path

from data_mix.errors import InputError
from data_mix.folder import text_of
from eval import figures
from eval.folder import read_completions, read_metrics
from eval.forecast import forecast, read_measured
from rewards.scorer import OUTCOMES

TEMPLATES = Path(__file__).parent / "templates"
STAGES = ("base", "sft", "star", "grpo")
EXAMPLES = 3


def find_stages(run_dir: Path) -> dict[str, dict[str, Path]]:
    """The run's eval folders: stage to `{"greedy": path, "sampled": path}`, in the order of the pipeline.

    A folder `NAME-sampled` is the sampled eval of stage NAME, any other folder the greedy one.
    """
    stages: dict[str, dict[str, Path]] = {}
    for metrics in sorted(run_dir.glob("eval/*/metrics.json")):
        name = metrics.parent.name
        stage, kind = (name.removesuffix("-sampled"), "sampled") if name.endswith("-sampled") else (name, "greedy")
        stages.setdefault(stage, {})[kind] = metrics.parent
    order = {name: i for i, name in enumerate(STAGES)}
    return dict(sorted(stages.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


def read_log(path: Path) -> list[dict]:
    """The entries of a log.jsonl; none where the stage has no log."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def pipeline_table(stages: dict[str, dict[str, Path]]) -> list[dict]:
    """One row a stage: greedy and sampled accuracy with intervals, median length (greedy) and p_long (sampled)."""
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


def format_table(table: list[dict]) -> str:
    """The pipeline's table for the terminal."""
    lines = [f"{'stage':<8}{'greedy accuracy':>24}{'sampled accuracy':>24}{'median length':>15}{'p_long':>8}"]
    for row in table:
        cells = [_with_interval(row["greedy"]), _with_interval(row["sampled"])]
        p_long = "-" if row["p_long"] is None else f"{row['p_long']:.3f}"
        lines.append(f"{row['stage']:<8}{cells[0]:>24}{cells[1]:>24}{row['median_length']:>15g}{p_long:>8}")
    return "\n".join(lines)


def write_report(run_dir: str) -> str:
    """Writes RUN_DIR/report.html and RUN_DIR/figures/*.png; returns the table and the report's path as text.

    Raises:
        InputError: when the run has no eval yet.
    """
    import jinja2

    run = Path(run_dir)
    stages = find_stages(run)
    if not stages:
        raise InputError(
            f"{run_dir}: no eval/*/metrics.json in it; `python -m eval run ... --out {run_dir}/eval/sft` makes one"
        )
    folder = run / "figures"
    folder.mkdir(exist_ok=True)
    completions = {
        f"{stage}, {kind}": read_completions(str(path))[0] for stage, kinds in stages.items() for kind, path in kinds.items()
    }
    logs = {stage: read_log(run / stage / "log.jsonl") for stage in ("sft", "star", "grpo")}
    drawn = [
        figures.draw_curves(logs, folder / "curves.png"),
        figures.draw_rewards(logs["grpo"], folder / "rewards.png"),
        _draw_forecast(run, stages, folder / "forecast.png"),
        figures.draw_lengths(completions, "form", folder / "length_by_form.png"),
        figures.draw_lengths(completions, "outcome", folder / "length_by_outcome.png"),
    ]
    table = pipeline_table(stages)
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True)
    environment.filters["interval"] = _with_interval
    page = environment.get_template("report.html").render(
        run=run.resolve().name,
        table=table,
        config=_describe(run),
        figures=[
            {"title": f.title, "text": f.text, "data": base64.b64encode(f.path.read_bytes()).decode()} for f in drawn if f
        ],
        examples={name: _examples(rows) for name, rows in completions.items()},
    )
    target = run / "report.html"
    target.write_text(page, encoding="utf-8")
    return f"{format_table(table)}\nreport: {target}"


def _with_interval(accuracy: dict | None) -> str:
    if accuracy is None:
        return "-"
    low, high = accuracy["ci95"]
    return f"{accuracy['value']:.3f} [{low:.3f}, {high:.3f}]"


def _draw_forecast(run: Path, stages: dict[str, dict[str, Path]], path: Path) -> figures.Figure | None:
    if "sampled" not in stages.get("sft", {}) or not (run / "star" / "log.jsonl").is_file():
        return None
    measured = read_measured(str(run / "star"))
    predicted = forecast(str(stages["sft"]["sampled"]), len(measured) - 1)
    return figures.draw_forecast(predicted["p_long"], measured, predicted["flips_at"], path)


def _describe(run: Path) -> str | None:
    path = run / "mixture" / "manifest.json"
    if not path.is_file():
        return None
    manifest = json.loads(path.read_text(encoding="utf-8"))
    forms = ", ".join(f"{form} {share:g}" for form, share in manifest["config"]["forms"].items())
    sources = ", ".join(source["task"] for source in manifest["config"]["sources"])
    return f"{sources}; forms: {forms}; {manifest['rows']['train']} train rows, seed {manifest['seed']}"


def _examples(rows: list[dict]) -> list[dict]:
    """The first few completions of each outcome, prompts as text."""
    chosen = []
    for outcome in OUTCOMES:
        one_a_problem = {row["problem_id"]: row for row in reversed(rows) if row["outcome"] == outcome}
        for row in list(reversed(one_a_problem.values()))[:EXAMPLES]:
            chosen.append({**row, "prompt": text_of(row["prompt"])})
    return chosen
