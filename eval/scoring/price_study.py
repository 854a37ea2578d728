"""Reads price studies: what every recipe of an ablation costs, and its accuracy.

A recipe is a cell of the grid after SFT or after GRPO. Its cost in SFT tokens is

    SFT tokens + g GRPO tokens + rows (p_cot l + (1 - p_cot) s)

(g: cost of a GRPO token; l, s: of making a long or a short row; rows: the distinct rows that SFT has seen). Its accuracy is the
greedy one, averaged over seeds. The interval spans the 95% Wilson intervals of the seeds. Student's t over three seeds at 1.000
would be empty, although neither the seeds nor the problems are all that there are.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_mix import files
from data_mix.errors import InputError
from eval.scoring.metrics import wilson_ci95

P_COT = "mixture.p_cot"
STAGES = ("sft", "grpo")  # STaR logs no tokens
SFT_AXES = ("mixture.", "sft.")  # how the names of the axes on which SFT depends begin


@dataclass(frozen=True)
class Prices:
    """Costs in SFT tokens.

    Attributes:
        grpo_token: of a token of GRPO's prompts and completions, each counted once, however often it is trained on.
        long_row: of making a long row of the mixture.
        short_row: of making any other row.
    """

    grpo_token: float = 1.0
    long_row: float = 0.0
    short_row: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """A cell of the grid after a stage.

    Attributes:
        axes: axis → value, without the seed.
        stage: sft or grpo; grpo includes the SFT before it.
        seeds: the number of seeds.
        cost: in SFT tokens, mean over seeds.
        accuracy: greedy, mean over seeds.
        low: lower bound of the interval.
        high: upper bound.
    """

    axes: dict[str, Any]
    stage: str
    seeds: int
    cost: float
    accuracy: float
    low: float
    high: float


def find_results(study: str) -> Path:
    """The results.jsonl of an ablation's folder, or the file itself."""
    return Path(study) / "results.jsonl" if Path(study).is_dir() else Path(study)


def read_lines(studies: list[str]) -> list[dict]:
    """The lines of the studies' results.jsonl.

    Raises:
        InputError: for a file that is missing or is not a results.jsonl.
    """
    lines = []
    for study in studies:
        path = find_results(study)
        if not path.is_file():
            raise InputError(f"{path}: no such file; `python -m eval table DIR` writes it into the folder of an ablation")
        found = files.read_json_lines(path)
        if wrong := next((number for number, line in enumerate(found, 1) if not _is_result(line)), None):
            raise InputError(f"{path}:{wrong} is not a line of results.jsonl; `python -m eval table DIR` writes the file again")
        if not any(line["kind"] == "greedy" for line in found):
            raise InputError(f"{path}: no eval of kind greedy; add `greedy: {{}}` to `eval:` of the ablation, and run it again")
        lines += found
    return lines


def measure(lines: list[dict], prices: Prices) -> list[Recipe]:
    """The recipes in the lines of results.jsonl files, from the cheapest to the most expensive.

    Raises:
        InputError: when the grid is unsuitable, a cell occurs twice with a seed, or a cost is unknown.
    """
    cells: dict[tuple, dict[Any, dict]] = defaultdict(dict)
    for line in lines:
        if line["kind"] == "greedy":
            axes = _axes(line)
            _check_axes(axes)
            if line["stage"] not in STAGES:
                raise InputError(
                    f"{_name(line)}: what {line['stage']} costs is unknown; give a study of {' and '.join(STAGES)}"
                )
            seeds = cells[line["stage"], axes]
            if line.get("seed") in seeds:
                raise InputError(f"{_name(line)} occurs twice; give studies whose cells or seeds differ")
            seeds[line.get("seed")] = line
    if len({(stage, tuple(name for name, _ in axes)) for stage, axes in cells}) > len({stage for stage, _ in cells}):
        raise InputError("cells have different axes; give studies with the same ones")
    tokens, rows = _largest(lines, "num_tokens"), _largest(lines, "rows")
    recipes = []
    for (stage, axes), seeds in cells.items():
        intervals = [wilson_ci95(line["accuracy"], line["n_problems"]) for line in seeds.values()]
        low, high = min(low for low, _ in intervals), max(high for _, high in intervals)
        cost = np.mean([_cost(line, tokens, rows, prices) for line in seeds.values()])
        accuracy = np.mean([line["accuracy"] for line in seeds.values()])
        recipes.append(Recipe(dict(axes), stage, len(seeds), float(cost), float(accuracy), low, high))
    return sorted(recipes, key=lambda recipe: recipe.cost)


def is_number(value: object) -> bool:
    """Whether a value of an axis or field is a finite number, within the range of a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def axis_text(value: object) -> str:
    """A value of an axis for a table or a label."""
    return f"{value:.10g}" if is_number(value) else str(value)


def _is_result(line: dict) -> bool:
    """Whether a line has what every line has, a log entry valid counts, and an eval its accuracy and number of problems."""
    scalars = all(isinstance(value, str | int | float | None) for value in line.values())
    if not scalars or not all(isinstance(line.get(key), str) for key in ("stage", "kind")):
        return False
    counts = [line[field] for field in ("num_tokens", "rows") if line.get(field) is not None]
    if line["kind"] != "greedy":
        return all(is_number(count) and count >= 0 for count in counts)
    accuracy, problems = line.get("accuracy"), line.get("n_problems")
    return is_number(accuracy) and 0 <= accuracy <= 1 and is_number(problems) and problems >= 1


def _axes(line: dict) -> tuple[tuple[str, Any], ...]:
    """The line's place in the grid. Only axes have a dot in their name; `seed` has none."""
    return tuple(sorted((name, value) for name, value in line.items() if "." in name))


def _name(line: dict) -> str:
    where = [f"{axis} {value}" for axis, value in _axes(line)] + ([f"seed {line['seed']}"] if "seed" in line else [])
    return f"{line['stage']} at {', '.join(where)}"


def _check_axes(axes: tuple[tuple[str, Any], ...]) -> None:
    names = [name for name, _ in axes]
    if P_COT not in names:
        raise InputError(f"the grid has no axis {P_COT}, only {', '.join(names) or 'seed'}; see recipes/parity/price.yaml")
    if not is_number(dict(axes)[P_COT]) or not 0 <= dict(axes)[P_COT] <= 1:
        raise InputError(
            f"{P_COT} is {dict(axes)[P_COT]!r} in the grid; give its values as numbers from 0 to 1, not under names"
        )
    if starts := [name for name in names if name.endswith(".start")]:
        raise InputError(f"the grid has an axis {starts[0]}, so what SFT costs is unknown; use sft.max_steps instead")


def _largest(lines: list[dict], field: str) -> dict[tuple, float]:
    """Stage, seed and axes → the largest value of a field in the log."""
    largest: dict[tuple, float] = {}
    for line in lines:
        if line["kind"] == "log" and is_number(line.get(field)):
            key = line["stage"], line.get("seed"), _axes(line)
            largest[key] = max(line[field], largest.get(key, 0.0))
    return largest


def _cost(line: dict, tokens: dict[tuple, float], rows: dict[tuple, float], prices: Prices) -> float:
    """What the model of an eval costs, in SFT tokens."""
    axes = _axes(line)
    sft = "sft", line.get("seed"), tuple((name, value) for name, value in axes if name.startswith(SFT_AXES))
    stages = {sft: 1.0} | ({} if line["stage"] == "sft" else {(line["stage"], line.get("seed"), axes): prices.grpo_token})
    if missing := [key for key in stages if key not in tokens]:
        what = f"no log entry of {missing[0][0]} with num_tokens"
        raise InputError(
            f"{_name(line)}: {what}; `eval table DIR` writes the file again; the study needs heldout_problems above 0"
        )
    cost = sum(price * tokens[key] for key, price in stages.items())
    p_cot = dict(axes)[P_COT]
    if row := p_cot * prices.long_row + (1 - p_cot) * prices.short_row:
        if sft not in rows:
            raise InputError(f"{_name(line)}: no number of rows in results.jsonl; `python -m eval table DIR` writes it again")
        cost += row * rows[sft]
    return cost
