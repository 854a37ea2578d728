"""`eval compare`: paired comparison of two evals on their shared problems."""

import numpy as np

from data_mix.errors import InputError
from eval.scoring import breakdown
from eval.scoring.eval_folder import describe_decoding, read_completions
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
        only one of the two got right, and McNemar's exact p. `by` maps `source` and each field of meta that has several values
        among the shared problems to value → n_problems and the same metrics. `differs_in` lists, as text, what else differs
        besides the model: decoding, benchmark, worked examples, prompts.

    Raises:
        InputError: when the two folders share no problem.
    """
    (first, info_a), (second, info_b) = _read(a), _read(b)
    shared = [problem for problem in first if problem in second]
    if not shared:
        raise InputError(f"{a} and {b} have no problem in common; compare evals of the same mixture")
    result = {"n_problems": len(shared), "only_a": len(first) - len(shared), "only_b": len(second) - len(shared)}
    result |= _differences(first, second, shared)
    if all(len(rows[p]) == 1 for rows in (first, second) for p in shared):
        right = [{p for p in shared if rows[p][0]["outcome"] == "correct"} for rows in (first, second)]
        lost, gained = sorted(right[0] - right[1]), sorted(right[1] - right[0])
        result["flips"] = {"only_a_right": lost, "only_b_right": gained, "mcnemar_p": mcnemar_p(len(lost), len(gained))}
    rows = [first[problem][0] for problem in shared]
    groupings = {"source": breakdown.group_by(rows, "source"), **breakdown.by_meta(rows)}
    result["by"] = {
        field: {
            value: {"n_problems": len(own), **_differences(first, second, [row["problem_id"] for row in own])}
            for value, own in groups.items()
        }
        for field, groups in groupings.items()
        if len(groups) > 1
    }
    same_prompts = all(first[problem][0]["prompt"] == second[problem][0]["prompt"] for problem in shared)
    result["differs_in"] = _settings_that_differ(info_a, info_b, same_prompts)
    return result


def _differences(first: dict, second: dict, problems: list[str]) -> dict:
    """Each metric's mean over the problems in both evals, and the paired difference with its interval."""
    result = {}
    for name, metric in METRICS.items():
        x, y = (np.array([np.mean([metric(r) for r in rows[p]]) for p in problems]) for rows in (first, second))
        difference = {"value": float((y - x).mean()), "ci95": bootstrap_ci95(y - x)}
        result[name] = {"a": float(x.mean()), "b": float(y.mean()), "difference": difference}
    return result


def _settings_that_differ(a: dict, b: dict, same_prompts: bool) -> list[str]:
    """Settings that change the completions of one and the same model, each with both values."""

    def benchmark(info: dict) -> str:
        asked = info.get("asked", {})
        return asked.get("task") or ("a mixture" if "mixture" in asked else "unknown")

    pairs = {"decoding": (describe_decoding(a), describe_decoding(b)), "benchmark": (benchmark(a), benchmark(b))}
    pairs["worked examples"] = (str(a.get("shots", 0)), str(b.get("shots", 0)))
    found = [f"{name} ({x}, {y})" for name, (x, y) in pairs.items() if x != y and "unknown" not in (x, y)]
    return found if same_prompts else [*found, "prompts"]


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
    for field, groups in result["by"].items():
        width = max(11, *map(len, [field, *groups]))
        lines += [
            "",
            f"{field:<{width}}{'problems':>10}{'accuracy a':>12}{'b':>8}{'b - a':>9}   {'95% interval':<18}{'length':>8}",
        ]
        for value, group in groups.items():
            r, low, high = group["accuracy"], *group["accuracy"]["difference"]["ci95"]
            numbers = f"{group['n_problems']:>10}{r['a']:>12.3f}{r['b']:>8.3f}{r['difference']['value']:>+9.3f}"
            length = f"{group['length']['difference']['value']:+.1f}"
            lines.append(f"{value:<{width}}{numbers}   {f'[{low:+.3f}, {high:+.3f}]':<18}{length:>8}")
    return "\n".join(lines)


def format_warning(result: dict, a: str, b: str) -> str | None:
    """One line that says what else differs between the two evals besides the model; None if nothing does."""
    differs = ", ".join(result["differs_in"])
    return f"warning: {a} and {b} differ in more than the model: {differs}" if differs else None


def _read(folder: str) -> tuple[dict[str, list[dict]], dict]:
    """The rows of an eval by problem, and its settings."""
    rows, info = read_completions(folder)
    return breakdown.group_by(rows, "problem_id"), info
