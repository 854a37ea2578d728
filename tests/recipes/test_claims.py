"""The table of the paper's claims: up to date, and its verdicts follow the numbers."""

import pytest

from data_mix import files
from recipes import claims


def test_the_table_is_up_to_date():
    assert claims.make_page() == claims.PAGE.read_text(), "run `make claims`"


def evals(stage, kind, accuracy, **values):
    """An eval of each seed."""
    return [{"stage": stage, "kind": kind, "seed": seed, "accuracy": a} | values for seed, a in enumerate(accuracy)]


@pytest.mark.parametrize(("last", "verdict"), [(1.0, claims.HOLDS), (0.7, claims.PARTLY)])
def test_a_claim_holds_only_if_it_does_for_every_seed(last, verdict):
    lines = evals("sft", "greedy", (0.5, 0.48), length_p50=1) + evals("grpo", "greedy", (1.0, last), length_p50=16)
    text, found, seeds = claims.judge_repair(lines)
    assert (found, seeds) == (verdict, 2) and "accuracy 0.490 [0.480, 0.500], median length 1 [1, 1]" in text


@pytest.mark.parametrize(
    ("accuracy", "verdict"),
    [
        ({20: 0.5, 60: 1.0, 100: 1.0}, claims.HOLDS),
        ({20: 0.5, 60: 1.0, 100: 0.6}, claims.PARTLY),  # the latest start does not work
        ({20: 1.0, 60: 1.0, 100: 1.0}, claims.FAILS),  # every start works
    ],
)
def test_starting_too_early_is_judged_by_every_start(accuracy, verdict):
    starts = {f"checkpoint-{step}": value for step, value in accuracy.items()}
    lines = [line for start, a in starts.items() for line in evals("grpo", "greedy", (a, a), p_long=0.5, **{"rl.start": start})]
    assert claims.judge_start(lines)[1] == verdict


def test_rounds_to_half_are_those_of_the_recursion():
    p, star = 0.1, []
    for _ in range(8):
        star.append({"p_long": p})
        p = 2 * p / (1 + p)
    assert claims.rounds_to_half(star) == pytest.approx(3.17, abs=0.005)  # log2(0.9 / 0.1)
    assert claims.rounds_to_half(star[:3]) is None


def test_every_result_file_belongs_to_a_claim():
    used = {claim.results for claim in claims.CLAIMS}
    kept = {str(path.relative_to(claims.HERE)) for path in claims.HERE.glob("**/results*/*.jsonl")}
    assert kept <= used and all(files.read_json_lines(claims.HERE / name) for name in used - {None})
