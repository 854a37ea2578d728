"""Computes the content of metrics.json: accuracy, pass@k, maj@k and length with intervals, overall, by source and by meta."""

from collections import Counter, defaultdict
from math import comb, sqrt

import numpy as np

from eval.scoring import breakdown
from rewards.scorer import OUTCOMES

BOOTSTRAP_SAMPLES = 2000
PERCENTILES = (10, 50, 90, 95, 99)
Z95 = 1.959964  # 97.5th percentile of the standard normal distribution


def bootstrap_ci95(values: np.ndarray, seed: int = 0) -> list[float]:
    """95% percentile-bootstrap interval of the mean of `values` (shape: (problems,)), resampling problems."""
    rng = np.random.default_rng(seed)
    n, chunk = len(values), 100
    means = [values[rng.integers(0, n, (chunk, n))].mean(axis=1) for _ in range(BOOTSTRAP_SAMPLES // chunk)]
    return [float(x) for x in np.quantile(means, [0.025, 0.975])]


def wilson_ci95(share: float, n: int) -> tuple[float, float]:
    """95% interval of a share of n independent trials; not empty for 0 and 1 (Wilson 1927, J. Am. Stat. Assoc. 22)."""
    center, spread = share + Z95**2 / (2 * n), Z95 * sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    low, high = ((center + sign * spread) / (1 + Z95**2 / n) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Unbiased estimate of pass@k from n samples, `correct` of them right (Chen et al. 2021, arXiv 2107.03374, eq. 1)."""
    return 1.0 - comb(n - correct, k) / comb(n, k)


def maj_at_k(samples: list[dict]) -> list[float]:
    """maj@k for k = 1 ... n: the probability that the majority answer of k samples, drawn without replacement, is right.

    Exact, over all subsets. Tied answers share the win equally; completions without an answer do not vote.
    """
    n = len(samples)
    right = sum(row["outcome"] == "correct" for row in samples)  # one answer, in whatever spelling
    others = Counter(row["extracted"] for row in samples if row["outcome"] != "correct" and row["extracted"] is not None)
    unanswered, wins = n - right - others.total(), [0.0] * n
    for top in range(1, right + 1):
        # (completions drawn from the others, other answers with `top` votes) → number of such subsets
        ways = {(drawn, 0): comb(unanswered, drawn) for drawn in range(unanswered + 1)}
        for count in others.values():
            after: dict[tuple[int, int], int] = defaultdict(int)
            for (drawn, ties), number in ways.items():
                for more in range(min(count, top) + 1):
                    after[drawn + more, ties + (more == top)] += number * comb(count, more)
            ways = after
        for (drawn, ties), number in ways.items():
            wins[top + drawn - 1] += comb(right, top) * number / (ties + 1)
    return [won / comb(n, k) for k, won in enumerate(wins, 1)]


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value of McNemar's test, from the numbers of problems that only one of two runs got right."""
    n, least = only_a + only_b, min(only_a, only_b)
    return min(1.0, 2 * sum(comb(n, i) for i in range(least + 1)) / 2**n)


def accuracy_by_budget(rows: list[dict]) -> dict[str, float]:
    """Token budget → accuracy if every completion longer than the budget were wrong.

    Budgets are powers of two, up to the first that no completion exceeds.
    """
    lengths = np.array([row["n_tokens"] for row in rows])
    correct = np.array([row["outcome"] == "correct" for row in rows])
    budgets = [2**i for i in range(int(np.ceil(np.log2(max(lengths.max(), 1)))) + 1)]
    return {str(budget): float((correct & (lengths <= budget)).mean()) for budget in budgets}


def describe(lengths: np.ndarray) -> dict[str, float]:
    """Mean and percentiles of lengths in tokens."""
    return {"mean": float(lengths.mean()), **{f"p{q}": float(np.quantile(lengths, q / 100)) for q in PERCENTILES}}


def compute_metrics(rows: list[dict], info: dict) -> dict:
    """Computes the content of metrics.json.

    Args:
        rows: all completions, with problem_id, source, meta, outcome, strict_outcome, form, n_tokens, truncated and extracted.
        info: the eval's settings: model, temperature, seed and, for a mixture, its p_cot (`asked`, `p_cot_by_source`).

    Returns:
        All keys of the format; metrics that do not apply (accuracy of an absent form, maj@k of one sample) are None.
    """
    majorities = {problem: maj_at_k(samples) for problem, samples in breakdown.group_by(rows, "problem_id").items()}
    metrics = _summarize(rows, info, majorities)
    sources = breakdown.group_by(rows, "source")
    return metrics | {
        "by_source": {
            name: _summarize(own, info, majorities) if len(sources) > 1 else metrics for name, own in sources.items()
        },
        "by_meta": {
            field: {value: _summarize(own, info, majorities) for value, own in groups.items()}
            for field, groups in breakdown.by_meta(rows).items()
        },
    }


def _summarize(rows: list[dict], info: dict, majorities: dict[str, list[float]]) -> dict:
    """The metrics of some rows; `majorities` has the maj@k of each problem."""
    by_problem = breakdown.group_by(rows, "problem_id")
    problems = list(by_problem.values())
    n_samples = max(len(samples) for samples in problems)
    correct = [sum(row["outcome"] == "correct" for row in samples) for samples in problems]
    shares = np.array([c / len(samples) for c, samples in zip(correct, problems, strict=True)])
    # every problem needs k samples, or pass@k would be that of another problem set
    ks = range(1, min(len(samples) for samples in problems) + 1)
    longs = np.array([np.mean([row["form"] == "long" for row in samples]) for samples in problems])
    asked = info.get("asked", {}).get("p_cot")
    # by source: with shares of tokens they differ, and the test problems are not divided among sources like the train rows
    by_source = info.get("p_cot_by_source", {})
    p_cots = None if asked is None else np.array([by_source.get(samples[0]["source"], asked) for samples in problems])
    lengths = np.array([row["n_tokens"] for row in rows])
    outcomes = Counter(row["outcome"] for row in rows)
    forms = {form: np.array([row["form"] == form for row in rows]) for form in sorted({row["form"] for row in rows})}
    is_correct = np.array([row["outcome"] == "correct" for row in rows])

    def mean_length(outcome: str) -> float | None:
        values = [row["n_tokens"] for row in rows if row["outcome"] == outcome]
        return float(np.mean(values)) if values else None

    def accuracy_of(form: str) -> float | None:
        return float(is_correct[forms[form]].mean()) if form in forms else None

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
        "maj_at_k": {str(k): float(np.mean([majorities[problem][k - 1] for problem in by_problem])) for k in ks}
        if n_samples > 1
        else None,
        "length": {**describe(lengths), "correct_mean": mean_length("correct"), "wrong_mean": mean_length("wrong")},
        "length_by": {
            by: {value: describe(lengths[[row[by] == value for row in rows]]) for value in sorted({row[by] for row in rows})}
            for by in ("outcome", "form")
        },
        "p_long": float(np.mean([row["form"] == "long" for row in rows])),
        "accuracy_long": accuracy_of("long"),
        "accuracy_short": accuracy_of("short"),
        "by_form": {
            form: {"share": float(chosen.mean()), "accuracy": accuracy_of(form), "length": describe(lengths[chosen])}
            for form, chosen in forms.items()
        },
        # generated share of long completions (averaged within problems first) minus that of the mixture's train rows
        "calibration": None
        if p_cots is None
        else {
            "p_cot": float(p_cots.mean()),
            "difference": {"value": float((longs - p_cots).mean()), "ci95": bootstrap_ci95(longs - p_cots)},
        },
        "accuracy_by_budget": accuracy_by_budget(rows),
        "truncated": float(np.mean([row["truncated"] for row in rows])),
        "outcomes": {outcome: outcomes.get(outcome, 0) for outcome in OUTCOMES},
    }
