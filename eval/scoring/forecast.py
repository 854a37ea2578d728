"""`eval forecast`: predicts p_long and accuracy over STaR rounds from the sampled eval of an SFT checkpoint.

A round keeps the correct completions. The share of long completions among them is

    p' = p a_long / (p a_long + (1 - p) a_short)

(p: p_long; a: accuracy given the form), and a model fitted to them has p_long = p' (arXiv 2510.11495; for a_long = 1 and
a_short = 1/2 this is 2p / (1 + p)). Both accuracies are held fixed, so the forecast isolates the effect of selection.
"""

from collections import defaultdict
from itertools import product
from pathlib import Path

import numpy as np

from data_mix.errors import InputError
from data_mix.files import read_json_lines
from eval.scoring.eval_folder import read_completions

SHARED_START = 0.05  # if more short completions than this start like a long one, the forms diverge after the first word


def next_p_long(p: float, a_long: float, a_short: float) -> float:
    """p_long after one STaR round; unchanged if no completion is correct, so none is kept."""
    kept = p * a_long + (1 - p) * a_short
    return p * a_long / kept if kept else p


def forecast(folder: str, rounds: int) -> dict:
    """Forecasts STaR rounds from a sampled eval.

    Returns:
        `p_long` and `accuracy` (lists over rounds, starting with the measured values), `a_long`, `a_short`, `gain` (a_long -
        a_short: value, ci95), `flips_at` (the p_long above which greedy decoding is long), `flips_in` (rounds until then; None
        if not within `rounds`), and `mixed` (share of problems with both right and wrong completions).

    Raises:
        InputError: for a greedy eval, one in which a form does not occur, or a negative number of rounds.
    """
    if rounds < 0:
        raise InputError(f"--rounds {rounds} is out of range; it must be at least 0")
    rows, info = read_completions(folder)
    if info["temperature"] == 0:
        raise InputError(f"{folder}: greedy eval, but a forecast needs samples; add `--samples 8 --temperature 1.0`")
    by_form = {form: [row for row in rows if row["form"] == form] for form in ("long", "short")}
    for form, completions in by_form.items():
        if not completions:
            raise InputError(f"{folder}: no completion is {form}, so its accuracy is unknown; give an eval with both forms")
    a_long, a_short = (float(np.mean([row["outcome"] == "correct" for row in by_form[form]])) for form in ("long", "short"))
    path = [len(by_form["long"]) / (len(by_form["long"]) + len(by_form["short"]))]
    for _ in range(rounds):
        path.append(next_p_long(path[-1], a_long, a_short))
    flips_at = find_flip(by_form["long"], by_form["short"])
    return {
        "p_long": path,
        "accuracy": [p * a_long + (1 - p) * a_short for p in path],
        "a_long": a_long,
        "a_short": a_short,
        "gain": _gain(rows),
        "flips_at": flips_at,
        "flips_in": next((number for number, p in enumerate(path) if p > flips_at), None),
        "mixed": _mixed(rows),
    }


def find_flip(long: list[dict], short: list[dict]) -> float:
    """The p_long above which greedy decoding produces the long form.

    If short completions can start like the long one of their problem (with probability s), the forms diverge after the shared
    start, where long has weight p and short (1 - p) s; for parity s = 1/2, so the threshold is 1/3. Otherwise they diverge at
    the first word, where the most frequent first word of long completions has weight p m (m: probability that two long
    completions of a problem share it) and short 1 - p.
    """
    first = {form: defaultdict(list) for form in ("long", "short")}
    for form, rows in (("long", long), ("short", short)):
        for row in rows:
            first[form][row["problem_id"]].append(_first_word(row))
    shared = [a == b for problem, words in first["short"].items() for a, b in product(words, first["long"].get(problem, []))]
    s = float(np.mean(shared)) if shared else 0.0
    if s > SHARED_START:
        return s / (1 + s)
    same = [a == b for words in first["long"].values() for i, a in enumerate(words) for b in words[:i]]
    m = float(np.mean(same)) if same else 1.0
    return 1 / (1 + m)


def read_measured(star_dir: str) -> list[float]:
    """Sampled p_long on held-out problems before STaR and after each round of a run.

    Raises:
        InputError: when the folder has no log.
    """
    path = Path(star_dir) / "log.jsonl"
    if not path.is_file():
        raise InputError(f"{star_dir}: no log.jsonl; give the output_dir of recipes/star.py")
    try:
        return [entry["heldout/sampled/p_long"] for entry in read_json_lines(path)]
    except KeyError:
        raise InputError(f"{path} is not the log of a STaR run; give the output_dir of recipes/star.py") from None


def mean_error(predicted: list[float], measured: list[float]) -> float:
    """Mean absolute error of p_long over the rounds in both lists, without the starting point."""
    n = min(len(predicted), len(measured))
    return float(np.mean(np.abs(np.subtract(predicted[1:n], measured[1:n]))))


def format_forecast(result: dict, measured: list[float] | None) -> str:
    """The forecast as text for the terminal."""
    low, high = result["gain"]["ci95"]
    lines = [f"{'round':>5}{'p_long':>10}{'accuracy':>10}" + ("" if measured is None else f"{'measured':>10}")]
    for number, (p, accuracy) in enumerate(zip(result["p_long"], result["accuracy"], strict=True)):
        cell = f"{measured[number]:>10.3f}" if measured and number < len(measured) else ""
        lines.append(f"{number:>5}{p:>10.3f}{accuracy:>10.3f}{cell}")
    rounds = result["flips_in"]
    flips = "not within these rounds" if rounds is None else f"after {rounds} round{'s' * (rounds != 1)}"
    lines.append(f"greedy decoding turns long {flips} (from p_long {result['flips_at']:.3f})")
    worth = "yes" if low > 0 else "no" if high < 0 else "not shown"
    gain = f"long minus short accuracy {result['gain']['value']:+.3f} [{low:+.3f}, {high:+.3f}]"
    lines.append(
        f"RL is worth starting: {worth}: {gain}; {result['mixed']:.0%} of the problems have both right and wrong samples"
    )
    if measured is not None and min(len(measured), len(result["p_long"])) > 1:
        lines.append(f"mean absolute error of p_long over rounds: {mean_error(result['p_long'], measured):.3f}")
    return "\n".join(lines)


def _first_word(row: dict) -> str:
    """The first word; the first character for text without spaces, as from character-level tokenizers."""
    text = row["completion"].strip()
    return text.split(maxsplit=1)[0] if " " in text or text.startswith("####") else text[:1]


def _gain(rows: list[dict]) -> dict:
    """a_long - a_short and its bootstrap interval, resampling problems with all their completions."""
    counts = defaultdict(lambda: np.zeros(4))
    for row in rows:
        if row["form"] in ("long", "short"):
            at = 0 if row["form"] == "long" else 2
            counts[row["problem_id"]][at : at + 2] += (row["outcome"] == "correct", 1)
    table = np.array(list(counts.values()))

    def gain(chosen: np.ndarray) -> np.ndarray:
        right_long, n_long, right_short, n_short = np.moveaxis(chosen.sum(axis=-2), -1, 0)
        return right_long / np.maximum(n_long, 1) - right_short / np.maximum(n_short, 1)

    rng = np.random.default_rng(0)
    resampled = gain(table[rng.integers(0, len(table), (1000, len(table)))])
    return {"value": float(gain(table)), "ci95": [float(v) for v in np.quantile(resampled, (0.025, 0.975))]}


def _mixed(rows: list[dict]) -> float:
    outcomes = defaultdict(set)
    for row in rows:
        outcomes[row["problem_id"]].add(row["outcome"] == "correct")
    return float(np.mean([len(seen) == 2 for seen in outcomes.values()]))
