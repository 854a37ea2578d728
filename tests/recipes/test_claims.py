"""The table of the paper's claims: up to date, and its verdicts follow the numbers."""

import math

import pytest

from data_mix import files
from data_mix.errors import InputError
from recipes.claims import __main__ as claims
from recipes.claims import verdicts


def test_the_table_is_up_to_date():
    assert claims.make_page() == claims.PAGE.read_text(), "run `make claims`"


def evals(stage, kind, accuracy, **values):
    """An eval of each seed."""
    return [{"stage": stage, "kind": kind, "seed": seed, "accuracy": a} | values for seed, a in enumerate(accuracy)]


@pytest.mark.parametrize(("last", "verdict"), [(1.0, verdicts.HOLDS), (0.7, verdicts.PARTLY)])
def test_a_claim_holds_only_if_it_does_for_every_seed(last, verdict):
    lines = evals("sft", "greedy", (0.5, 0.48), length_p50=1) + evals("grpo", "greedy", (1.0, last), length_p50=16)
    text, found, seeds = verdicts.of_repair(lines)
    assert (found, seeds) == (verdict, 2) and "accuracy 0.490 [0.480, 0.500], median length 1 [1, 1]" in text


@pytest.mark.parametrize(
    ("accuracy", "p_long", "verdict"),
    [
        ({20: 0.5, 60: 1.0, 100: 1.0}, 0.0, verdicts.HOLDS),
        ({20: 0.5, 60: 1.0, 100: 0.6}, 0.0, verdicts.PARTLY),  # the latest start does not work
        ({20: 1.0, 60: 1.0, 100: 1.0}, 0.0, verdicts.FAILS),  # every start works
        ({20: 0.5, 60: 1.0, 100: 1.0}, 0.5, verdicts.FAILS),  # of 6 symbols after RL, and of about 8.5 before
    ],
)
def test_starting_too_early_is_judged_by_every_start(accuracy, p_long, verdict):
    before = {"heldout/greedy/p_long": p_long, "step": 0}
    lines = [
        line
        for step, a in accuracy.items()
        for kind, values in (("log", before), ("greedy", {"length_mean": 6}))
        for line in evals("grpo", kind, (a, a), **values, **{"rl.start": f"checkpoint-{step}"})
    ]
    assert verdicts.of_start(lines)[1] == verdict


@pytest.mark.parametrize(("shares", "verdict"), [((0.0, 0.4, 1.0), verdicts.HOLDS), ((0.0, 0.0, 0.2), verdicts.FAILS)])
def test_the_threshold_is_where_half_of_the_greedy_completions_are_long(shares, verdict):
    lines = [
        line
        for p_cot, share in zip((0.25, 0.3, 0.4), shares, strict=True)
        for line in evals("sft", "greedy", (0.5, 0.5), p_long=share, **{"mixture.p_cot": p_cot})
    ]
    text, found, seeds = verdicts.of_threshold(lines)
    assert (found, seeds) == (verdict, 2)
    assert text == ("half of the greedy completions are long at p_cot 0.317 [0.317, 0.317]" if shares[-1] == 1 else "never")


@pytest.mark.parametrize(("third", "verdict"), [(0.46, verdicts.HOLDS), (0.6, verdicts.FAILS)])
def test_the_recursion_is_judged_by_the_round_that_is_furthest_off(third, verdict):
    rounds = [
        {"stage": "star", "kind": "log", "seed": 0, "mixture.p_cot": 0.1, "step": step, "p_long": p}
        for step, p in ((30, third), (10, 0.18), (20, 0.31))
    ]
    text, found, seeds = verdicts.of_recursion([*rounds, *evals("star", "sampled", (1.0,), p_long=0.9)])
    assert (found, seeds) == (verdict, 1) and "from p_cot 0.1" in text


@pytest.mark.parametrize(("hot", "verdict"), [(0.7, verdicts.HOLDS), (1.0, verdicts.FAILS)])
def test_a_high_temperature_must_fail_where_a_low_one_does_not(hot, verdict):
    lines = [
        line
        for temperature, answer in ((0.75, 1.0), (1.0, 0.99), (1.5, hot))
        for rewards, accuracy in (("answer", answer), ("valid", 0.5))
        for line in evals("star", "greedy", (accuracy,) * 3, **{"rl.rewards": rewards, "rl.temperature": temperature})
    ]
    assert verdicts.of_temperature(lines)[1:] == (verdict, 3)


@pytest.mark.parametrize(("p_long", "verdict"), [(0.0, verdicts.HOLDS), (0.1, verdicts.FAILS)])
def test_one_long_completion_without_long_rows_refutes_the_claim(p_long, verdict):
    lines = [
        line
        for p_cot, share in ((0, p_long), (0.05, 1.0))
        for line in evals("grpo", "greedy", (0.5, 0.5), p_long=share, **{"mixture.p_cot": p_cot})
    ]
    assert verdicts.of_unseen(lines)[1:] == (verdict, 2)


@pytest.mark.parametrize(("quarter", "verdict"), [(1.0, verdicts.HOLDS), (0.5, verdicts.FAILS)])
def test_partial_chains_are_judged_below_the_threshold(quarter, verdict):
    lines = [
        line
        for share, accuracy in (("0.4", 1.0), ("0.25", quarter))
        for line in evals("sft", "greedy", (accuracy,), length_p50=8, **{"mixture.forms": share})
    ]
    text, found, seeds = verdicts.of_partial(lines)
    assert (found, seeds) == (verdict, 1) and text.endswith("with a share of 0.4: accuracy 1.000, median length 8")


@pytest.mark.parametrize(("before", "verdict"), [(0.5, verdicts.HOLDS), (0.9, verdicts.PARTLY)])
def test_every_architecture_must_guess_after_sft_and_be_repaired(before, verdict):
    lines = [
        line
        for model, guess in (("llama-2", 0.5), ("gpt2-2", before))
        for stage, accuracy in (("sft", guess), ("grpo", 1.0))
        for line in evals(stage, "greedy", (accuracy, accuracy), **{"sft.model_config": model})
    ]
    text, found, seeds = verdicts.of_architectures(lines)
    assert (found, seeds) == (verdict, 2) and "llama-2 0.500 [0.500, 0.500], then 1.000" in text


@pytest.mark.parametrize(
    ("low", "length", "verdict"), [(0.35, 18, verdicts.HOLDS), (0.31, 18, verdicts.FAILS), (0.35, 4, verdicts.FAILS)]
)
def test_accuracy_and_length_must_both_rise(low, length, verdict):
    lines = [
        *evals("sft", "greedy", (0.28,) * 2, accuracy_low=0.24, accuracy_high=0.32, length_mean=4),
        *evals("grpo", "greedy", (0.4,) * 2, accuracy_low=low, accuracy_high=0.45, length_mean=length),
    ]
    text, found, seeds = verdicts.of_rise(lines)
    assert (found, seeds) == (verdict, 2) and text.startswith("greedy accuracy after SFT 0.280 [0.280, 0.280], mean length 4.0")


def test_rounds_to_half_are_those_of_the_recursion():
    p, star = 0.1, []
    for _ in range(8):
        star.append({"p_long": p})
        p = 2 * p / (1 + p)
    assert verdicts.rounds_to_half(star) == pytest.approx(3.17, abs=0.005)  # log2(0.9 / 0.1)
    assert verdicts.rounds_to_half(star[:3]) == math.inf
    assert verdicts.rounds_to_half([{"p_long": p} for p in (0.0, 0.1, 0.4, 0.6)]) == pytest.approx(2.5)


def test_an_unfinished_study_has_no_verdict():
    after = evals("grpo", "greedy", (1.0,), length_p50=16)
    with pytest.raises(InputError, match="seeds of sft and grpo differ"):
        verdicts.of_repair(evals("sft", "greedy", (0.5, 0.5), length_p50=1) + after)
    with pytest.raises(InputError, match="no greedy results of sft"):
        verdicts.of_repair(after)


def test_every_result_file_belongs_to_a_claim_or_is_linked_on_its_page():
    used = {claim.results for claim in claims.CLAIMS}
    kept = sorted(claims.RECIPES.glob("**/results/*.jsonl"))
    assert kept and all(map(files.read_json_lines, kept))
    for path in kept:
        page = (path.parents[1] / "README.md").read_text(encoding="utf-8")
        assert str(path.relative_to(claims.RECIPES)) in used or f"(results/{path.name})" in page
