"""Draws the figures of a report with matplotlib, from logs and completions. Without data, a function returns None."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from data_mix import files
from eval.scoring.metrics import accuracy_by_budget
from eval.scoring.price_study import axis_text

# Okabe and Ito's colour-blind-safe palette.
COLOURS = {
    "long": "#0072B2",
    "short": "#E69F00",
    "other": "#999999",
    "correct": "#009E73",
    "wrong": "#D55E00",
    "unparseable": "#999999",
    "timeout": "#CC79A7",
    "error": "#000000",
}
METRIC_LABELS = {"accuracy": "accuracy", "p_long": "p_long", "length_p50": "median length (tokens)"}
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
plt.rcParams.update({"figure.dpi": 110, "axes.spines.top": False, "axes.spines.right": False})
plt.rcParams.update({"axes.grid": True, "grid.alpha": 0.25})
plt.rcParams["text.parse_math"] = False  # names may contain `$`


@dataclass(frozen=True)
class Figure:
    """A drawn figure: title, a sentence on what it shows, and the path of its PNG."""

    title: str
    text: str
    path: Path


def short_names(groups: list[dict]) -> dict[str, str]:
    """Display names of an ablation's axes: `mixture.p_cot` becomes p_cot unless another stage has an axis of that name."""
    axes = list(dict.fromkeys(axis for group in groups for axis in group["axes"]))
    last = [axis.rsplit(".", 1)[-1] for axis in axes]
    return {axis: name if last.count(name) == 1 else axis for axis, name in zip(axes, last, strict=True)}


def draw_curves(logs: dict[str, list[dict]], path: Path) -> Figure | None:
    """Accuracy, length and p_long on held-out problems over training steps, one column per stage."""
    stages = {stage: [e for e in log if "heldout/greedy/accuracy" in e] for stage, log in logs.items()}
    stages = {stage: entries for stage, entries in stages.items() if entries}
    if not stages:
        return None
    fig, axes = plt.subplots(4, len(stages), figsize=(4.2 * len(stages), 9), squeeze=False, sharey="row", sharex="col")
    rows = [("accuracy", "accuracy"), ("length/mean", "mean length (tokens)"), ("p_long", "p_long")]
    for column, (stage, entries) in enumerate(stages.items()):
        steps = [e["step"] for e in entries]
        for row, (key, label) in enumerate(rows):
            ax = axes[row][column]
            for kind, style in (("greedy", "-"), ("sampled", "--")):
                values = [e[f"heldout/{kind}/{key}"] for e in entries]
                ax.plot(steps, values, style, marker="o", ms=3, color="#0072B2" if kind == "greedy" else "#D55E00", label=kind)
            if column == 0:
                ax.set_ylabel(label)
            if key != "length/mean":
                ax.set_ylim(-0.03, 1.03)
        start = "heldout/sampled/accuracy_"
        forms = sorted({key.removeprefix(start) for e in entries for key in e if key.startswith(start)})
        for form, colour in zip(forms, _colours(forms), strict=True):
            points = [(e["step"], e[start + form]) for e in entries if start + form in e]
            axes[3][column].plot(*zip(*points, strict=True), marker="o", ms=3, color=colour, label=form)
        axes[3][column].set_ylim(-0.03, 1.03)
        axes[0][column].set_title(f"{stage.upper()} steps")
        axes[3][column].set_xlabel("step")
    axes[3][0].set_ylabel("accuracy by form, sampled")
    for row in (0, 3):
        if axes[row][0].lines:
            axes[row][0].legend(frameon=False)
    text = "Held-out problems during training, decoded greedily and sampled at temperature 1, and the accuracy of each form."
    return _save(fig, "Accuracy and length over training", text, path)


def draw_rewards(log: list[dict], path: Path) -> Figure | None:
    """Reward, p_long, zero-variance groups, length by outcome and the sampler-trainer log-prob gap at each RL step."""
    entries = [e for e in log if "reward" in e]
    if not entries:
        return None
    shares = {"reward": "reward", "p_long": "p_long", "truncated": "truncated", "frac_reward_zero_std": "zero-variance groups"}
    panels = [
        ("rollouts", shares),
        ("length by outcome (tokens)", {f"length/{o}": o for o in ("correct", "wrong", "unparseable")}),
        ("mean |sampler - trainer log-prob|", {"sampling/sampling_logp_difference/mean": "difference"}),
    ]
    fig, axes = plt.subplots(1, 3, figsize=(12, 3.8))
    for ax, (title, lines) in zip(axes, panels, strict=True):
        for key, label in lines.items():
            points = [(e["step"], e[key]) for e in entries if e.get(key) is not None]
            if points:
                ax.plot(*zip(*points, strict=True), label=label, color=COLOURS.get(label))
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("RL step")
        if len(lines) > 1:
            ax.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    text = "Reward and length of the rollouts at each step, and the gap between vLLM's and the trainer's log-probs."
    return _save(fig, "Rollouts of each RL step", text, path)


def draw_lengths(completions: dict[str, list[dict]], by: str, path: Path) -> Figure | None:
    """Histograms of completion length, one panel per eval, stacked by the column `by` (form or outcome)."""
    names = list(completions)
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(5.2 * columns, 2.7 * rows), squeeze=False)
    top = max(row["n_tokens"] for rows_ in completions.values() for row in rows_) + 1
    bins = _bins(top)
    flat: Sequence = [ax for line in axes for ax in line]
    for ax, name in zip(flat, names, strict=False):
        known = list(COLOURS)
        values = sorted({row[by] for row in completions[name]}, key=lambda v: (known.index(v) if v in known else len(known), v))
        lengths = [[row["n_tokens"] for row in completions[name] if row[by] == value] for value in values]
        ax.hist(lengths, bins=bins, stacked=True, label=values, color=_colours(values))
        ax.set_title(name, fontsize=10)
        ax.set_xlabel("tokens")
        ax.set_ylabel("completions")
        ax.legend(frameon=False, fontsize=8)
    for ax in flat[len(names) :]:
        ax.set_visible(False)
    return _save(fig, f"Length by {by}", f"Completion lengths of each eval, by {by}.", path)


def draw_forecast(predicted: list[float], measured: list[float], flips_at: float, path: Path) -> Figure:
    """p_long over STaR rounds: forecast from the SFT checkpoint's sampled eval, and measured on held-out problems."""
    fig, ax = plt.subplots(figsize=(5.2, 3.6))
    ax.plot(range(len(predicted)), predicted, "k:", label="forecast")
    ax.plot(range(len(measured)), measured, marker="o", ms=3, color=LINES[0], label="measured")
    ax.axhline(flips_at, color=LINES[1], lw=0.8, label="greedy decoding turns long")
    ax.set(xlabel="STaR round", ylabel="p_long, sampled", ylim=(-0.03, 1.03))
    ax.legend(frameon=False, fontsize=8)
    text = "Forecast: p' = p a_long / (p a_long + (1 - p) a_short), from the SFT checkpoint's sampled eval."
    return _save(fig, "Forecast and measurement of STaR", text, path)


def draw_budgets(completions: dict[str, list[dict]], path: Path) -> Figure:
    """Accuracy as a function of a token budget per completion, one line per eval."""
    fig, ax = plt.subplots(figsize=(6.4, 3.8))
    curves = {name: {int(k): v for k, v in accuracy_by_budget(rows).items()} for name, rows in completions.items()}
    most = max(budget for curve in curves.values() for budget in curve)
    for number, (name, curve) in enumerate(curves.items()):
        points = (curve | {most: curve[max(curve)]}).items()  # constant beyond its longest completion
        ax.plot(*zip(*points, strict=True), marker="o", ms=3, label=name, color=LINES[number % len(LINES)])
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set(xlabel="token budget of a completion", ylabel="accuracy", ylim=(-0.03, 1.03))
    ax.legend(frameon=False, fontsize=8)
    return _save(fig, "Accuracy by token budget", "A completion longer than the budget counts as wrong.", path)


def draw_map(groups: list[dict], axis: str, path: Path) -> Figure:
    """Accuracy against mean length, one panel per stage and decoding; colour shows a numeric axis of an ablation.

    Args:
        groups: from `eval.report.table.average_seeds`.
        axis: the axis shown as colour.
        path: PNG to write.
    """
    name = short_names(groups)[axis]
    groups = [group for group in groups if axis in group["axes"]]
    panels: dict[str, list[dict]] = {}
    for group in groups:
        panels.setdefault(f"{group['stage']}, {group['kind']}", []).append(group)
    fig, axes = plt.subplots(1, len(panels), figsize=(3.6 * len(panels) + 1, 3.6), squeeze=False, sharey=True)
    values = [group["axes"][axis] for group in groups]
    for ax, (title, members) in zip(axes[0], panels.items(), strict=True):
        x, y = ([member[name][0] for member in members] for name in ("length_mean", "accuracy"))
        colour = [member["axes"][axis] for member in members]
        dots = ax.scatter(x, y, c=colour, vmin=min(values), vmax=max(values), cmap="viridis", zorder=2)
        ax.set(title=title, xlabel="mean length (tokens)", ylim=(-0.03, 1.03))
    axes[0][0].set_ylabel("accuracy")
    fig.colorbar(dots, ax=axes[0][-1], label=name)
    return _save(fig, f"Accuracy and length by {name}", f"Each point is a cell's mean over seeds, coloured by {name}.", path)


def draw_axis(groups: list[dict], axis: str, path: Path) -> Figure:
    """Metrics over one axis of an ablation, one line per stage, decoding and combination of the other axes' values.

    Args:
        groups: from `eval.report.table.average_seeds`; bands show their ranges.
        axis: the horizontal axis; values that are not numbers are treated as categories.
        path: PNG to write.
    """
    short = short_names(groups)
    groups = [group for group in groups if axis in group["axes"]]
    values = [group["axes"][axis] for group in groups]
    numeric = all(isinstance(value, int | float) for value in values)
    places = {str(v): v if numeric else i for i, v in enumerate(sorted(set(values)) if numeric else dict.fromkeys(values))}
    lines: dict[str, list[dict]] = {}
    for group in groups:
        others = [f"{short[name]} {value}" for name, value in group["axes"].items() if name != axis]
        lines.setdefault(", ".join([f"{group['stage']}, {group['kind']}", *others]), []).append(group)
    long_names = not numeric and sum(map(len, places)) > 40
    fig, axes = plt.subplots(1, len(METRIC_LABELS), figsize=(4.3 * len(METRIC_LABELS), 4.2))
    for ax, (metric, label) in zip(axes, METRIC_LABELS.items(), strict=True):
        for number, (line, members) in enumerate(lines.items()):
            points = sorted((places[str(m["axes"][axis])], *m[metric]) for m in members if m[metric] is not None)
            if points:
                x, mean, low, high = (np.array(column) for column in zip(*points, strict=True))
                ax.plot(x, mean, marker="o", ms=3, label=line, color=LINES[number % len(LINES)])
                ax.fill_between(x, low, high, alpha=0.2, color=LINES[number % len(LINES)], lw=0)
        ax.set_title(label, fontsize=10)
        ax.set_xlabel(short[axis])
        if not numeric:
            rotated = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if long_names else {}
            ax.set_xticks(list(places.values()), list(places), fontsize=8, **rotated)
    axes[len(METRIC_LABELS) // 2].legend(
        frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.4 if long_names else -0.16), ncols=2
    )
    text = "Means over seeds; bands span the smallest to the largest value."
    return _save(fig, f"Over {axis}", text, path)


def draw_plan(result: dict, path: Path) -> Figure:
    """Accuracy against cost of every recipe, with the frontier, the target and the interpolated recipes.

    Args:
        result: from `eval.scoring.plan.plan`.
        path: PNG to write.
    """
    recipes, frontier, interpolated = result["recipes"], result["frontier"], result["candidates"] + result["predicted"]
    short = short_names([{"axes": recipe.axes} for recipe in recipes])
    fig, ax = plt.subplots(figsize=(7.6, 4.6))
    for colour, stage in zip(LINES, dict.fromkeys(recipe.stage for recipe in recipes), strict=False):
        name = stage if stage == "sft" else f"sft, then {stage}"
        for members, face, label in ((recipes, colour, name), (interpolated, "white", f"{name}: interpolated")):
            points = [(r.cost / 1e6, r.accuracy, r.low, r.high) for r in members if r.stage == stage]
            if points:
                x, y, low, high = np.array(points).T
                ends = np.maximum((y - low, high - y), 0)  # rounding can make an empty end negative
                style = {"ms": 5, "mfc": face, "color": colour, "elinewidth": 1, "capsize": 2, "alpha": 0.8}
                bars = ax.errorbar(x, y, ends, fmt="o", label=label, **style)[2]
                bars[0].set_linestyle("-" if members is recipes else ":")
    ax.step(
        [r.cost / 1e6 for r in frontier], [r.low for r in frontier], "k", where="post", lw=0.8, label="frontier: lower bound"
    )
    ax.axhline(result["target"], color="k", ls="--", lw=0.8, label=f"target {result['target']:g}")
    chosen = [recipe for recipe in (result["cheapest"], result["cheapest_sft"]) if recipe]
    if chosen:
        x, y = [r.cost / 1e6 for r in chosen], [r.accuracy for r in chosen]
        ax.plot(x, y, "k*", ms=11, mfc="gold", label="cheapest, with and without RL", zorder=5)
    labels = [(r, r.low, (3, -10), "left") for r in frontier]
    sides = [((-6, -3), "right") if r.stage == "sft" else ((6, -3), "left") for r in interpolated]
    labels += [(r, r.accuracy, *side) for r, side in zip(interpolated, sides, strict=True)]
    for recipe, y, offset, side in labels:
        values = ", ".join(axis_text(recipe.axes[axis]) for axis in short if axis in recipe.axes)
        ax.annotate(values, (recipe.cost / 1e6, y), offset, textcoords="offset points", ha=side, fontsize=7)
    ax.set(xlabel="cost (millions of SFT tokens)", ylabel="greedy accuracy")
    ax.legend(frameon=False, fontsize=8, title=f"labels: {', '.join(short.values())}", title_fontsize=8)
    return _save(fig, "Accuracy and cost", "Means over seeds; intervals span seeds and problems.", path)


def _colours(values: Sequence[str]) -> list[str]:
    """A colour for each form or outcome; user-defined forms get those that are left."""
    spare = iter([line for line in LINES if line not in [COLOURS.get(value) for value in values]] * len(values))
    return [COLOURS[value] if value in COLOURS else next(spare) for value in values]


def _bins(top: int) -> list[float]:
    width = max(1, -(-top // 40))
    return [edge - 0.5 for edge in range(0, top + 2 * width, width)]


def _save(fig, title: str, text: str, path: Path) -> Figure:
    fig.tight_layout()
    with files.new_file(path) as temporary:
        fig.savefig(temporary, format="png")
    plt.close(fig)
    return Figure(title, text, path)
