"""Metrics of an eval folder's completions: accuracy and length, with their uncertainty."""

from collections import Counter, defaultdict
from math import comb

import numpy as np

from rewards.scorer import OUTCOMES

BOOTSTRAP_SAMPLES = 2000


def bootstrap_ci95(values: np.ndarray, seed: int = 0) -> list[float]:
    """Percentile bootstrap 95% interval of the mean of `values` (shape: problems), resampling problems."""
    rng = np.random.default_rng(seed)
    n = len(values)
    means = np.array([values[rng.integers(0, n, n)].mean() for _ in range(BOOTSTRAP_SAMPLES)])
    return [float(x) for x in np.quantile(means, [0.025, 0.975])]


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Unbiased chance that at least one of k of n samples is right (Chen et al. 2021, arXiv 2107.03374, eq. 1)."""
    return 1.0 - comb(n - correct, k) / comb(n, k)


def majority_correct(rows: list[dict]) -> bool:
    """Whether the most frequent extracted answer is right; ties go to the one seen first, no answer never wins."""
    votes = Counter(row["extracted"] for row in rows if row["extracted"] is not None)
    if not votes:
        return False
    winner = votes.most_common(1)[0][0]
    return next(row["outcome"] == "correct" for row in rows if row["extracted"] == winner)


def compute_metrics(rows: list[dict], info: dict) -> dict:
    """The content of metrics.json.

    Args:
        rows: completions with outcome, strict_outcome, form, n_tokens, truncated, extracted, problem_id: all samples of all.
        info: model, temperature and seed, as the generation recorded them.

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
    ks = [k for k in (1, 2, 4, 8, 16, 32, 64) if k <= n_samples]
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
        "maj_at_k": {str(n_samples): float(np.mean([majority_correct(s) for s in problems]))} if n_samples > 1 else None,
        "length": {
            "mean": float(lengths.mean()),
            "p50": float(np.quantile(lengths, 0.5)),
            "p90": float(np.quantile(lengths, 0.9)),
            "correct_mean": mean_length("correct"),
            "wrong_mean": mean_length("wrong"),
        },
        "p_long": float(np.mean([row["form"] == "long" for row in rows])),
        "accuracy_long": accuracy_of("long"),
        "accuracy_short": accuracy_of("short"),
        "truncated": float(np.mean([row["truncated"] for row in rows])),
        "outcomes": {outcome: outcomes.get(outcome, 0) for outcome in OUTCOMES},
    }
