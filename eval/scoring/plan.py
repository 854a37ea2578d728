"""`eval plan`: which p_cot and how much SFT, with or without GRPO, reach a target accuracy at the lowest cost?

A recipe of a price study (price_study.py) reaches a target if its whole interval does.

Between the cells, cost and accuracy are interpolated linearly. Accuracy can jump there, so the interval spans those of all
surrounding cells. If it reaches the target, so do these, and the cheapest of them is cheaper: an interpolated recipe is never
the answer, only worth a run.
"""

import itertools
import json
import math
from typing import Any, NamedTuple

from data_mix.errors import InputError, nearest
from eval.scoring.metrics import Z95
from eval.scoring.price_study import P_COT, Prices, Recipe, axis_text, is_number, measure, read_lines


def plan(studies: list[str], target: float, prices: Prices, at: dict[str, Any] | None = None) -> dict:
    """Plans from the measured cells of one or more studies.

    Args:
        studies: folders of ablations, or results.jsonl files, of the same task and model.
        target: the accuracy to reach.
        prices: what tokens and rows cost.
        at: axis → value of a cell to predict.

    Returns:
        `target`, `recipes` (all), `cheapest` and `cheapest_sft` (the latter without RL; None if none reaches the target),
        `frontier`, `candidates` (interpolated recipes that may reach the target for less than the cheapest, or the cheapest
        without RL), `predicted` (the cell `at` after each stage), and `problems` (an eval's, and how many the target needs).

    Raises:
        InputError: for a missing or unsuitable file, a target or price out of range, or a cell outside the grid.
    """
    if not 0 < target < 1:
        raise InputError(f"--target {target:g} is out of range; give an accuracy between 0 and 1")
    for name, price in vars(prices).items():
        if not 0 <= price < math.inf:
            raise InputError(f"--{name.replace('_', '-')} {price:g} is out of range; give a cost of at least 0")
    lines = read_lines(studies)
    try:
        recipes = measure(lines, prices)
    except InputError as error:
        raise InputError(f"{', '.join(studies)}: {error}") from None
    problems = max(line["n_problems"] for line in lines if line["kind"] == "greedy")
    needed = math.ceil(Z95**2 * target / (1 - target))  # for the interval of an accuracy of 1 to begin at the target
    best, best_sft = find_cheapest(recipes, target), find_cheapest([r for r in recipes if r.stage == "sft"], target)
    limits = {recipe.stage: best.cost if best else math.inf for recipe in recipes}
    limits["sft"] = best_sft.cost if best_sft else math.inf
    candidates = [r for r in find_midpoints(recipes) if problems >= needed and r.high >= target and r.cost < limits[r.stage]]
    return {
        "target": target,
        "recipes": recipes,
        "cheapest": best,
        "cheapest_sft": best_sft,
        "frontier": find_frontier(recipes),
        "candidates": sorted(candidates, key=lambda recipe: recipe.cost),
        "predicted": [predict(recipes, stage, at) for stage in dict.fromkeys(r.stage for r in recipes)] if at else [],
        "problems": (problems, needed),
    }


def parse_cell(settings: list[str]) -> dict[str, Any]:
    """The cell that `AXIS=VALUE` words name.

    Raises:
        InputError: for a word without `=`, or an axis that occurs twice.
    """
    cell: dict[str, Any] = {}
    for word in settings:
        axis, equals, value = word.partition("=")
        if not equals:
            raise InputError(f"--at {word}: not of the form AXIS=VALUE; give, for example, {P_COT}=0.3")
        if axis in cell:
            raise InputError(f"--at: {axis} occurs twice; give one value for each axis")
        cell[axis] = _parse(value)
    return cell


def find_cheapest(recipes: list[Recipe], target: float) -> Recipe | None:
    """The cheapest recipe whose whole interval reaches the target."""
    reaching = [recipe for recipe in recipes if recipe.low >= target]
    return min(reaching, key=lambda recipe: (recipe.cost, -recipe.low), default=None)


def find_frontier(recipes: list[Recipe]) -> list[Recipe]:
    """The recipes whose lower bound no other one reaches for the same cost or less, from the cheapest on."""
    frontier: list[Recipe] = []
    for recipe in sorted(recipes, key=lambda recipe: (recipe.cost, -recipe.low)):
        if not frontier or recipe.low > frontier[-1].low:
            frontier.append(recipe)
    return frontier


def find_midpoints(recipes: list[Recipe]) -> list[Recipe]:
    """The recipes halfway between two neighbours that differ in one axis, interpolated."""
    found = []
    for recipe in recipes:
        for axis, value in recipe.axes.items():
            on_line = [r for r in recipes if r.stage == recipe.stage and r.axes | {axis: value} == recipe.axes]
            above = [r.axes[axis] for r in on_line if is_number(value) and is_number(r.axes[axis]) and r.axes[axis] > value]
            if above:
                middle = value + (min(above) - value) / 2
                if isinstance(value, int) and isinstance(min(above), int):
                    middle = int(middle)
                if middle != value:
                    found.append(predict(recipes, recipe.stage, recipe.axes | {axis: middle}))
    return found


def predict(recipes: list[Recipe], stage: str, at: dict[str, Any]) -> Recipe:
    """Interpolates a recipe in the smallest box of measured ones around it; at a measured one, it is that one.

    Args:
        recipes: measured ones.
        stage: sft or grpo.
        at: axis → value; axes on which the stage does not depend are ignored.

    Raises:
        InputError: when an axis is missing or unknown, or no box of measured recipes surrounds it.
    """
    known = {tuple(recipe.axes.items()): recipe for recipe in recipes if recipe.stage == stage}
    axes = next(iter(known.values())).axes
    known_axes = list(dict.fromkeys(axis for recipe in recipes for axis in recipe.axes))
    if unknown := [axis for axis in at if axis not in known_axes]:
        hint = nearest(unknown[0], known_axes) or f"; its axes: {', '.join(known_axes)}"
        raise InputError(f"--at: no axis {unknown[0]} in the study{hint}")
    if missing := [axis for axis in axes if axis not in at]:
        raise InputError(f"--at: no value for {missing[0]}; give one for every axis: {', '.join(axes)}")
    sides = [_sides([recipe.axes[axis] for recipe in known.values()], at[axis]) for axis in axes]
    for box in sorted(itertools.product(*sides), key=lambda box: sum(side.steps for side in box)):
        corners = [(known.get(tuple(zip(axes, values, strict=True))), share) for values, share in _corners(box)]
        if all(corner for corner, _ in corners):
            return Recipe(
                {axis: at[axis] for axis in axes},
                stage,
                min(corner.seeds for corner, _ in corners),
                sum(share * corner.cost for corner, share in corners),
                sum(share * corner.accuracy for corner, share in corners),
                min(corner.low for corner, _ in corners),
                max(corner.high for corner, _ in corners),
            )
    where = ", ".join(f"{axis} {at[axis]}" for axis in axes)
    raise InputError(
        f"--at: {where} is not between measured cells after {stage}; choose other values, or run the cells around it"
    )


def format_plan(result: dict) -> str:
    """The plan as text for the terminal."""
    target, best, best_sft = f"{result['target']:g}", result["cheapest"], result["cheapest_sft"]
    (problems, needed), closest = result["problems"], result["frontier"][-1]
    none = f"no recipe reaches {target}; the closest"
    if problems < needed:
        none = f"{target} takes at least {needed} problems, not {problems}, even if all answers are right; the closest"
    sections = [
        (f"cheapest that reaches {target}" if best else none, [best or closest]),
        (f"cheapest without RL{'' if best_sft else f': none reaches {target}'}", [best_sft] if best_sft else []),
        ("most accurate for a budget (by the lower bound)", result["frontier"]),
        (f"interpolated: may reach {target} for less, or for less without RL; run them to know", result["candidates"]),
        ("interpolated, not measured", result["predicted"]),
    ]
    axes = list(dict.fromkeys(axis for recipe in result["recipes"] for axis in recipe.axes))
    rows = [(heading, [_cells(recipe, axes) for recipe in recipes]) for heading, recipes in sections]
    head = [*axes, "after", "cost", "accuracy", "interval", "seeds"]
    widths = [max(map(len, column)) for column in zip(head, *(row for _, found in rows for row in found), strict=True)]
    lines = [_line(head, widths)]
    for heading, found in rows:
        if found or heading.startswith("cheapest"):
            lines += ["", heading, *(_line(row, widths) for row in found)]
    seeds = {recipe.seeds for recipe in result["recipes"]}
    spanned = "seeds and problems" if max(seeds) > 1 else "problems, not seeds: there is one"
    lines += ["", f"cost in millions of SFT tokens; intervals span {spanned}"]
    if len(seeds) > 1:
        lines.append(
            f"recipes have {min(seeds)} to {max(seeds)} seeds; fewer make an interval too narrow, so run the missing ones"
        )
    return "\n".join(lines)


def _parse(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


class _Side(NamedTuple):
    """Two values of an axis with the predicted one between them: its distance from `low` as a share, and in grid steps."""

    low: Any
    high: Any
    share: float
    steps: int


def _sides(values: list, at: Any) -> list[_Side]:
    exact = [_Side(at, at, 0.0, 0)] if at in values else []
    numbers = enumerate(sorted({value for value in values if is_number(value)})) if is_number(at) else ()
    pairs = itertools.combinations(numbers, 2)
    return exact + [_Side(a, b, (at - a) / (b - a), j - i) for (i, a), (j, b) in pairs if a < at < b]


def _corners(box: tuple[_Side, ...]) -> list[tuple[tuple, float]]:
    """The values and the weight of each corner that has a weight."""
    ends = [[(side.low, 1 - side.share), *([(side.high, side.share)] if side.share else [])] for side in box]
    return [(tuple(v for v, _ in corner), math.prod(w for _, w in corner)) for corner in itertools.product(*ends)]


def _cells(recipe: Recipe, axes: list[str]) -> list[str]:
    named = [axis_text(recipe.axes.get(axis, "")) for axis in axes]
    interval = f"[{recipe.low:.3f}, {recipe.high:.3f}]"
    return [*named, recipe.stage, f"{recipe.cost / 1e6:.3f}", f"{recipe.accuracy:.3f}", interval, str(recipe.seeds)]


def _line(cells: list[str], widths: list[int]) -> str:
    return "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
