"""Metrics of an eval folder's completions: accuracy and length, with their uncertainty."""

from collections import Counter, defaultdict
from math import comb

import numpy as np

from rewards.scorer import OUTCOMES

BOOTSTRAP_SAMPLES = 2000
QUANTILES = (10, 50, 90, 95, 99)


def bootstrap_ci95(values: np.ndarray, seed: int = 0) -> list[float]:
    """Percentile bootstrap 95% interval of the mean of `values` (shape: problems), resampling problems."""
    rng = np.random.default_rng(seed)
    n, at_once = len(values), 100
    means = [values[rng.integers(0, n, (at_once, n))].mean(axis=1) for _ in range(BOOTSTRAP_SAMPLES // at_once)]
    return [float(x) for x in np.quantile(means, [0.025, 0.975])]


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Unbiased chance that at least one of k of n samples is right (Chen et al. 2021, arXiv 2107.03374, eq. 1)."""
    return 1.0 - comb(n - correct, k) / comb(n, k)


def maj_at_k(samples: list[dict]) -> list[float]:
    """Chance that the most frequent extracted answer of k of the samples is right, for k = 1 ... n, drawn without replacement.

    Exact, over all subsets. Equal votes share the win; completions without an answer have no vote.
    """
    n = len(samples)
    votes = Counter(row["extracted"] for row in samples if row["extracted"] is not None)
    silent, wins = n - sum(votes.values()), [0.0] * n
    for answer in {row["extracted"] for row in samples if row["outcome"] == "correct"}:
        others = [count for other, count in votes.items() if other != answer]
        for top in range(1, votes[answer] + 1):
            # subsets of the others, by (completions drawn, answers that have `top` votes too): how many there are
            ways = {(drawn, 0): comb(silent, drawn) for drawn in range(silent + 1)}
            for count in others:
                after: dict[tuple[int, int], int] = defaultdict(int)
                for (drawn, ties), number in ways.items():
                    for more in range(min(count, top) + 1):
                        after[drawn + more, ties + (more == top)] += number * comb(count, more)
                ways = after
            for (drawn, ties), number in ways.items():
                wins[top + drawn - 1] += comb(votes[answer], top) * number / (ties + 1)
    return [won / comb(n, k) for k, won in enumerate(wins, 1)]


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Exact two-sided p of McNemar's test: of the problems that one run alone got right, as many would be either's."""
    n, least = only_a + only_b, min(only_a, only_b)
    return min(1.0, 2 * sum(comb(n, i) for i in range(least + 1)) / 2**n)


def accuracy_by_budget(rows: list[dict]) -> dict[str, float]:
    """Accuracy if a completion might have so many tokens and a longer one were wrong: token budget → accuracy.

    Budgets are 1, 2, 4, ... up to the first that no completion exceeds.
    """
    lengths = np.array([row["n_tokens"] for row in rows])
    correct = np.array([row["outcome"] == "correct" for row in rows])
    budgets = [2**i for i in range(int(np.ceil(np.log2(max(lengths.max(), 1)))) + 1)]
    return {str(budget): float((correct & (lengths <= budget)).mean()) for budget in budgets}


def describe(lengths: np.ndarray) -> dict[str, float]:
    """Mean and quantiles of lengths in tokens."""
    return {"mean": float(lengths.mean()), **{f"p{q}": float(np.quantile(lengths, q / 100)) for q in QUANTILES}}


def compute_metrics(rows: list[dict], info: dict) -> dict:
    """The content of metrics.json.

    Args:
        rows: completions with outcome, strict_outcome, form, n_tokens, truncated, extracted, problem_id: all samples of all.
        info: the eval's settings, as the generation recorded them: model, temperature, seed, and a mixture's p_cot.

    Returns:
        Every key of the format; what does not apply (accuracy of a form that never came, maj@k of one sample) is None.
    """
    by_problem = defaultdict(list)
    for row in rows:
        by_problem[row["problem_id"]].append(row)
    problems = list(by_problem.values())
    n_samples = max(len(samples) for samples in problems)
    correct = [sum(row["outcome"] == "correct" for row in samples) for samples in problems]
    shares = np.array([c / len(samples) for c, samples in zip(correct, problems, strict=True)])
    # a k that some problem has too few samples for would be another problem set's figure
    ks = range(1, min(len(samples) for samples in problems) + 1)
    majorities = [maj_at_k(samples) for samples in problems]
    longs = np.array([np.mean([row["form"] == "long" for row in samples]) for samples in problems])
    p_cot = info.get("asked", {}).get("p_cot")
    lengths = np.array([row["n_tokens"] for row in rows])
    outcomes = Counter(row["outcome"] for row in rows)

    def mean_length(outcome: str) -> float | None:
        of = [row["n_tokens"] for row in rows if row["outcome"] == outcome]
        return float(np.mean(of)) if of else None

    def accuracy_of(form: str) -> float | None:
        of = [row["outcome"] == "correct" for row in rows if row["form"] == form]
        return float(np.mean(of)) if of else None

    return {
        "n_problems": len(problems),
        "n_samples": n_samples,
        "temperature": info["temperature"],
        "seed": info["seed"],
        "model": info["model"],
        "accuracy": {"value": float(shares.mean()), "ci95": bootstrap_ci95(shares)},
        "accuracy_strict": float(np.mean([row["strict_outcome"] == "correct" for row in rows])),
        "pass_at_k": {
            str(k): float(np.mean([pass_at_k(len(s), c, k) for s, c in zip(problems, correct, strict=True)])) for k in ks
        },
        "maj_at_k": {str(k): float(np.mean([m[k - 1] for m in majorities])) for k in ks} if n_samples > 1 else None,
        "length": {**describe(lengths), "correct_mean": mean_length("correct"), "wrong_mean": mean_length("wrong")},
        "length_by": {
            by: {value: describe(lengths[[row[by] == value for row in rows]]) for value in sorted({row[by] for row in rows})}
            for by in ("outcome", "form")
        },
        "p_long": float(np.mean([row["form"] == "long" for row in rows])),
        "accuracy_long": accuracy_of("long"),
        "accuracy_short": accuracy_of("short"),
        # how far lengths are from the shares that the mixture's train rows have, averaged within problems first
        "calibration": None
        if p_cot is None
        else {"p_cot": p_cot, "difference": {"value": float(longs.mean() - p_cot), "ci95": bootstrap_ci95(longs - p_cot)}},
        "accuracy_by_budget": accuracy_by_budget(rows),
        "truncated": float(np.mean([row["truncated"] for row in rows])),
        "outcomes": {outcome: outcomes.get(outcome, 0) for outcome in OUTCOMES},
    }
