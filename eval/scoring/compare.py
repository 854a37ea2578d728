"""`eval compare`: paired comparison of two evals on their shared problems."""

from collections import defaultdict

import numpy as np

from data_mix.errors import InputError
from eval.scoring.eval_folder import read_completions
from eval.scoring.metrics import bootstrap_ci95, mcnemar_p

METRICS = {
    "accuracy": lambda row: row["outcome"] == "correct",
    "length": lambda row: row["n_tokens"],
    "p_long": lambda row: row["form"] == "long",
    "truncated": lambda row: row["truncated"],
}


def compare(a: str, b: str) -> dict:
    """Compares two eval folders.

    Returns:
        `n_problems` (shared), `only_a`, `only_b` (problems in one folder only), and for each metric `a` and `b` (means over the
        shared problems) and `difference` (b - a: value, ci95). With one completion per problem also `flips`: the problems that
        only one of the two got right, and McNemar's exact p.

    Raises:
        InputError: when the two folders share no problem.
    """
    first, second = _by_problem(a), _by_problem(b)
    shared = [problem for problem in first if problem in second]
    if not shared:
        raise InputError(f"{a} and {b} have no problem in common; compare evals of the same mixture")
    result = {"n_problems": len(shared), "only_a": len(first) - len(shared), "only_b": len(second) - len(shared)}
    for name, metric in METRICS.items():
        x, y = (np.array([np.mean([metric(r) for r in rows[p]]) for p in shared]) for rows in (first, second))
        difference = {"value": float((y - x).mean()), "ci95": bootstrap_ci95(y - x)}
        result[name] = {"a": float(x.mean()), "b": float(y.mean()), "difference": difference}
    if all(len(rows[p]) == 1 for rows in (first, second) for p in shared):
        right = [{p for p in shared if rows[p][0]["outcome"] == "correct"} for rows in (first, second)]
        lost, gained = sorted(right[0] - right[1]), sorted(right[1] - right[0])
        result["flips"] = {"only_a_right": lost, "only_b_right": gained, "mcnemar_p": mcnemar_p(len(lost), len(gained))}
    return result


def format_comparison(result: dict) -> str:
    """The comparison as a text table."""
    lines = [f"{result['n_problems']} shared problems", f"{'':<12}{'a':>10}{'b':>10}{'b - a':>10}   95% interval"]
    for name in METRICS:
        r = result[name]
        low, high = r["difference"]["ci95"]
        lines.append(f"{name:<12}{r['a']:>10.3f}{r['b']:>10.3f}{r['difference']['value']:>+10.3f}   [{low:+.3f}, {high:+.3f}]")
    if "flips" in result:
        flips = result["flips"]
        lost, gained = flips["only_a_right"], flips["only_b_right"]
        lines.append(f"right in only one: a {len(lost)}, b {len(gained)}; McNemar's exact p = {flips['mcnemar_p']:.2g}")
        for name, problems in (("a", lost), ("b", gained)):
            if problems:
                more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
                lines.append(f"  only {name}: {', '.join(problems[:5])}{more}")
    return "\n".join(lines)


def _by_problem(folder: str) -> dict[str, list[dict]]:
    rows = defaultdict(list)
    for row in read_completions(folder)[0]:
        rows[row["problem_id"]].append(row)
    return rows
