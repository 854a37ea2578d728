"""The plan: costs and intervals of a price study's recipes, the cheapest one, the frontier, and interpolation between cells."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_mix.errors import InputError
from eval.report.results import write_results
from eval.scoring.metrics import wilson_ci95
from eval.scoring.plan import find_cheapest, find_frontier, find_midpoints, format_plan, parse_cell, plan, predict
from eval.scoring.price_study import P_COT, Prices, Recipe, measure, read_lines
from tests.conftest import ROOT

STEPS = "sft.max_steps"
# p_cot, SFT steps → greedy accuracy of each seed after SFT and after GRPO
STUDY = {
    (0.1, 50): ((0.5, 0.5), (0.5, 0.5)),
    (0.1, 100): ((0.5, 0.5), (0.5, 0.75)),
    (0.5, 50): ((0.5, 0.75), (1.0, 1.0)),
    (0.5, 100): ((1.0, 1.0), (1.0, 1.0)),
}


def lines(study=STUDY, problems=500):
    """results.jsonl of a study: 1,000 SFT tokens per step at p_cot 0 and 2,000 at 1, 10 rows per step, 30,000 GRPO tokens."""
    found = []
    for (p_cot, steps), stages in study.items():
        for stage, accuracies in zip(("sft", "grpo"), stages, strict=True):
            for seed, accuracy in enumerate(accuracies):
                start = {"seed": seed, P_COT: p_cot, STEPS: steps, "stage": stage}
                found.append({**start, "kind": "greedy", "accuracy": accuracy, "n_problems": problems})
                tokens = 30_000 if stage == "grpo" else 1_000 * (1 + p_cot) * steps
                last = {"num_tokens": tokens, **({"rows": 10 * steps} if stage == "sft" else {})}
                found += [{**start, "kind": "log", "step": 0}, {**start, "kind": "log", "step": steps, **last}]
    return found


@pytest.fixture
def study(tmp_path):
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines()))
    return tmp_path


def find(recipes, stage, p_cot, steps):
    return next(r for r in recipes if (r.stage, r.axes) == (stage, {P_COT: p_cot, STEPS: steps}))


def test_the_cost_has_tokens_and_rows():
    recipes = measure(lines(), Prices(grpo_token=3, long_row=100, short_row=10))
    rows = 1000 * (0.1 * 100 + 0.9 * 10)
    assert find(recipes, "sft", 0.1, 100).cost == pytest.approx(110_000 + rows)
    assert find(recipes, "grpo", 0.1, 100).cost == pytest.approx(110_000 + rows + 3 * 30_000)


def test_the_interval_spans_the_seeds_and_their_problems():
    recipe = find(measure(lines(), Prices()), "grpo", 0.1, 100)
    assert (recipe.seeds, recipe.accuracy) == (2, 0.625)
    assert recipe.low == wilson_ci95(0.5, 500)[0] and recipe.high == wilson_ci95(0.75, 500)[1]
    assert find(measure(lines(), Prices()), "sft", 0.5, 100).low == pytest.approx(0.9924, abs=1e-4)  # not 1


def test_the_price_of_long_rows_decides_between_more_of_them_and_rl(study):
    def cheapest(**prices):
        result = plan([str(study)], 0.99, Prices(**prices))
        return [(r.axes[P_COT], r.axes[STEPS], r.stage) for r in (result["cheapest"], result["cheapest_sft"])]

    assert cheapest() == [(0.5, 50, "grpo"), (0.5, 100, "sft")]  # 105,000 and 150,000 tokens
    assert cheapest(grpo_token=3) == [(0.5, 100, "sft")] * 2
    assert cheapest(grpo_token=3, long_row=100) == [(0.5, 50, "grpo"), (0.5, 100, "sft")]


def test_what_is_cheaper_and_may_reach_the_target_is_interpolated(study):
    result = plan([str(study)], 0.99, Prices(), {P_COT: 0.2, STEPS: 60})
    found = [(r.axes[P_COT], r.axes[STEPS], r.stage, r.cost) for r in result["candidates"]]
    assert found == [
        (pytest.approx(0.3), 50, "grpo", pytest.approx(95_000)),
        (0.5, 75, "sft", pytest.approx(112_500)),
        (pytest.approx(0.3), 100, "sft", pytest.approx(130_000)),
    ]
    sft, grpo = result["predicted"]
    assert grpo.cost == pytest.approx(1_000 * 1.2 * 60 + 30_000) and sft.cost == pytest.approx(grpo.cost - 30_000)
    assert grpo.accuracy == pytest.approx(0.75 * (0.8 * 0.5 + 0.2 * 0.625) + 0.25)
    assert (grpo.low, grpo.high) == pytest.approx((wilson_ci95(0.5, 500)[0], 1.0))


def test_when_nothing_reaches_the_target_the_plan_says_why(study):
    result = plan([str(study)], 0.999, Prices())
    text = format_plan(result)
    assert "0.999 takes at least 3838 problems, not 500, even if all answers are right; the closest" in text
    assert "cheapest without RL: none reaches 0.999" in text and not result["candidates"]
    assert wilson_ci95(1, 3838)[0] >= 0.999 > wilson_ci95(1, 3837)[0]
    (study / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines({(0.1, 50): STUDY[0.1, 50]})))
    assert "no recipe reaches 0.9; the closest" in format_plan(plan([str(study)], 0.9, Prices()))


def test_missing_seeds_are_pointed_out(study):
    def footer(found):
        (study / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in found))
        return format_plan(plan([str(study)], 0.99, Prices())).splitlines()[-2:]

    first = [line for line in lines() if line["seed"] == 0]
    assert footer(first)[1].endswith("intervals span problems, not seeds: there is one")
    assert footer([*first, *(line for line in lines() if line["seed"] == 1 and line[P_COT] == 0.5)])[1].startswith(
        "recipes have 1 to 2 seeds"
    )


accuracies = st.sampled_from([0.4, 0.5, 0.8, 0.99, 1.0])
recipes_ = st.lists(
    st.builds(
        lambda cost, ends: Recipe({P_COT: 0.1}, "sft", 3, cost, sum(ends) / 2, min(ends), max(ends)),
        st.integers(1, 9),
        st.tuples(accuracies, accuracies),
    ),
    min_size=1,
)


@given(recipes_, accuracies, accuracies)
def test_the_cheapest_is_on_the_frontier_and_costlier_recipes_do_not_change_it(recipes, target, low):
    best = find_cheapest(recipes, target)
    if best:
        assert not any(r.cost <= best.cost and r.low >= best.low and (r.cost, r.low) != (best.cost, best.low) for r in recipes)
        assert best in find_frontier(recipes)
        costlier = Recipe({P_COT: 0.9}, "sft", 3, best.cost + 1, 1.0, low, 1.0)
        assert find_cheapest([costlier, *recipes], target) == best
    else:
        assert all(recipe.low < target for recipe in recipes)


grids = st.fixed_dictionaries(
    {(p, steps): st.tuples(*[st.tuples(accuracies, accuracies)] * 2) for p in (0.1, 0.3, 0.5) for steps in (50, 100)}
)


@given(grids, st.floats(0.1, 0.5), st.integers(50, 100), accuracies)
def test_no_interpolated_recipe_is_a_cheaper_answer(grid, p_cot, steps, target):
    recipes = measure(lines(grid), Prices())
    best = find_cheapest(recipes, target)
    for recipe in [predict(recipes, "grpo", {P_COT: p_cot, STEPS: steps}), *find_midpoints(recipes)]:
        assert recipe.low - 1e-9 <= recipe.accuracy <= recipe.high + 1e-9
        assert recipe.low < target or best.cost <= recipe.cost + 1e-6


@given(grids)
def test_a_measured_cell_predicts_itself(grid):
    recipes = measure(lines(grid), Prices())
    assert all(predict(recipes, recipe.stage, recipe.axes) == recipe for recipe in recipes)


@given(st.floats(0, 100), st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 10))
def test_costs_grow_in_proportion_to_prices(grpo_token, long_row, short_row, factor):
    free, one, more = (
        measure(lines(), Prices(*(f * price for price in (grpo_token, long_row, short_row)))) for f in (0, 1, factor)
    )
    for recipe in free:
        a, b = (find(found, recipe.stage, *recipe.axes.values()).cost - recipe.cost for found in (one, more))
        assert b == pytest.approx(factor * a, abs=1e-3)


def test_the_command_writes_a_figure_and_takes_further_studies(study, tmp_path, command):
    said = command("-m", "eval", "plan", study, "--target", 0.99, "--at", f"{P_COT}=0.2", f"{STEPS}=60").stdout
    cell = {P_COT: 0.2, STEPS: 60}
    assert said.startswith(format_plan(plan([str(study)], 0.99, Prices(), cell))) and f"{study}/plan.png: written" in said
    assert (study / "plan.png").read_bytes().startswith(b"\x89PNG")
    more = tmp_path / "more.jsonl"
    more.write_text("".join(json.dumps(line) + "\n" for line in lines({(0.2, 60): ((0.5, 0.5), (1.0, 1.0))})))
    said = command("-m", "eval", "plan", study, more, "--target", 0.99, "--out", tmp_path / "new.png").stdout
    _, _, heading, best, *_ = said.splitlines()
    assert heading == "cheapest that reaches 0.99" and best.split()[:4] == ["0.2", "60", "grpo", "0.102"]
    assert (tmp_path / "new.png").is_file()


def test_the_published_prediction_of_two_cells_held():
    results = ROOT / "recipes/parity/results"
    measured = read_lines([str(results / "price_heldout.jsonl")])
    known = measure(read_lines([str(results / "price.jsonl")]), Prices())
    for recipe in measure(measured, Prices()):
        predicted = predict(known, recipe.stage, recipe.axes)
        place = ("greedy", recipe.stage, recipe.axes[P_COT])
        cells = [line for line in measured if (line["kind"], line["stage"], line[P_COT]) == place]
        assert len(cells) == 3 and all(predicted.low <= line["accuracy"] <= predicted.high + 1e-9 for line in cells)
        assert predicted.cost == pytest.approx(recipe.cost, rel=0.03)


def without(field):
    return [{name: value for name, value in line.items() if name != field} for line in lines()]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (without(P_COT), "no axis mixture.p_cot, only sft.max_steps"),
        (without("num_tokens"), "results.jsonl|sft at .*: no log entry of sft with num_tokens"),
        ([line | {"num_tokens": -1} for line in lines()], "results.jsonl:2 is not a line"),
        ([line | {"num_tokens": float("nan")} for line in lines()], "results.jsonl:2 is not a line"),
        ([line | {P_COT: 10**400} for line in lines()], "give its values as numbers from 0 to 1"),
        ([line | {"stage": "star"} for line in lines()], "what star costs is unknown; give a study of sft and grpo"),
        (without("rows"), "no number of rows .* eval table"),
        (without("n_problems"), "results.jsonl:1 is not a line"),
        ([*lines(), *lines()], "seed 0 occurs twice"),
        ([line | {P_COT: "few"} for line in lines()], "mixture.p_cot is 'few'"),
        ([line | {"rl.start": "checkpoint-20"} for line in lines()], "rl.start"),
        ([line for line in lines() if line["kind"] == "log"], "no eval of kind greedy"),
        ([*lines(), *({**line, "sft.seed": 1} for line in lines())], "different axes"),
    ],
)
def test_an_unsuitable_study_is_an_error(study, found, said):
    (study / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in found))
    with pytest.raises(InputError, match=said):
        plan([str(study)], 0.99, Prices(long_row=1))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([f"{P_COT}=0.2"], "no value for sft.max_steps"),
        ([f"{P_COT}=0.7", f"{STEPS}=60"], "not between measured cells"),
        (["mixture.p_cto=0.2"], "did you mean 'mixture.p_cot'"),
        ([f"{P_COT}=0.2", f"{P_COT}=0.3"], "mixture.p_cot occurs twice"),
        ([f"{P_COT}={'[' * 100_000}", f"{STEPS}=60"], "not between measured cells"),
        (["0.2"], "AXIS=VALUE"),
    ],
)
def test_a_cell_that_cannot_be_predicted_is_an_error(study, words, said):
    with pytest.raises(InputError, match=said):
        plan([str(study)], 0.99, Prices(), parse_cell(words))


def test_a_figure_that_cannot_be_written_is_an_error(study, command):
    done = command("-m", "eval", "plan", study, "--target", 0.99, "--out", study / "no" / "plan.png", check=False)
    assert done.returncode == 2 and "no/plan.png cannot be written" in done.stderr and "cheapest that" in done.stdout


def test_a_figure_does_not_replace_the_results(study, command):
    results = study / "results.jsonl"
    done = command("-m", "eval", "plan", study, "--target", 0.99, "--out", results, check=False)
    assert done.returncode == 2 and "give a file name that ends in .png" in done.stderr
    assert results.read_text().startswith("{")


def test_results_have_the_rows_that_sft_has_seen(parity_run, tmp_path):
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / "all").symlink_to(parity_run / "sft")
    write_results(tmp_path, [{"folder": "eval/sft/all", "stage": "sft", "kind": "greedy", "axes": {}}], [{}])
    last = json.loads((tmp_path / "results.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 30 and last["rows"] == pytest.approx(30 * 64, abs=64)
