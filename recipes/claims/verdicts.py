"""The verdict on each claim: a function from a result file's lines to what was measured, the verdict and the number of seeds.

Each docstring has the criterion. A number over several seeds is their mean, with the smallest and the largest in brackets.
"""

import math

import numpy as np

from data_mix.errors import InputError
from recipes.linear import crossing

HOLDS, PARTLY, FAILS = "holds", "partly", "does not hold"
Verdict = tuple[str, str, int]  # what was measured, whether the claim holds, the number of seeds


def select(lines: list[dict], stage: str, kind: str) -> list[dict]:
    """The evals of a stage, in the order of their seeds.

    Raises:
        InputError: when there are none.
    """
    found = sorted((line for line in lines if (line["stage"], line["kind"]) == (stage, kind)), key=lambda line: line["seed"])
    if not found:
        raise InputError(f"no {kind} results of {stage}; run the study to its end")
    return found


def before_and_after(lines: list[dict]) -> tuple[list[dict], list[dict]]:
    """The greedy evals after SFT and after GRPO, both in the order of seeds.

    Raises:
        InputError: when their seeds differ.
    """
    before, after = (select(lines, stage, "greedy") for stage in ("sft", "grpo"))
    if [line["seed"] for line in before] != [line["seed"] for line in after]:
        raise InputError("the seeds of sft and grpo differ; run the study to its end")
    return before, after


def spread(values: list[float], digits: int = 3) -> str:
    """Mean, smallest and largest value as text; a single value alone."""
    mean, low, high = (f"{value:.{digits}f}" for value in (np.mean(values), min(values), max(values)))
    return f"{mean} [{low}, {high}]" if len(values) > 1 else mean


def verdict_of(holds: list[bool]) -> str:
    """Whether a claim holds for all seeds (or values), for some, or for none."""
    return HOLDS if all(holds) else PARTLY if any(holds) else FAILS


def of_calibration(lines: list[dict]) -> Verdict:
    """Demo: sampled p_long after SFT within 0.05 of the p_cot of 0.25."""
    p_long = [line["p_long"] for line in select(lines, "sft", "sampled")]
    text = f"sampled p_long {spread(p_long)} after SFT at p_cot 0.25"
    return text, verdict_of([abs(p - 0.25) <= 0.05 for p in p_long]), len(p_long)


def of_repair(lines: list[dict]) -> Verdict:
    """Demo: greedy accuracy below 0.6 at median length 1 after SFT, above 0.98 at the full length of 16 after RL."""
    before, after = before_and_after(lines)
    guess = [line["accuracy"] < 0.6 and line["length_p50"] == 1 for line in before]
    repaired = [line["accuracy"] > 0.98 and line["length_p50"] == 16 for line in after]
    text = f"greedy after SFT: {_accuracy_and_length(before)}; after 30 GRPO steps: {_accuracy_and_length(after)}"
    return text, verdict_of([a and b for a, b in zip(guess, repaired, strict=True)]), len(before)


def _accuracy_and_length(lines: list[dict]) -> str:
    accuracy, length = ([line[name] for line in lines] for name in ("accuracy", "length_p50"))
    return f"accuracy {spread(accuracy)}, median length {spread(length, 0)}"


def of_threshold(lines: list[dict]) -> Verdict:
    """Threshold: half of the greedy completions after SFT are long at a p_cot within 0.05 of 1/3."""
    by_seed: dict[int, list[dict]] = {}
    for line in sorted(select(lines, "sft", "greedy"), key=lambda line: line["mixture.p_cot"]):
        by_seed.setdefault(line["seed"], []).append({"p_cot": line["mixture.p_cot"], "greedy": line})
    turns = [crossing(rows) for rows in by_seed.values()]
    found = [turn for turn in turns if turn is not None]
    text = f"half of the greedy completions are long at p_cot {spread(found)}" if found else "never"
    return text, verdict_of([turn is not None and abs(turn - 1 / 3) <= 0.05 for turn in turns]), len(by_seed)


def of_recursion(lines: list[dict]) -> Verdict:
    """Rounds: the p_long of every round of STaR within 0.05 of 2p / (1 + p), p being that of the round before."""
    runs: dict[tuple, list[float]] = {}
    rounds = [line for line in lines if (line["stage"], line["kind"]) == ("star", "log") and "p_long" in line]
    for line in sorted(rounds, key=lambda line: line["step"]):
        runs.setdefault((line["mixture.p_cot"], line["seed"]), []).append(line["p_long"])
    if not runs:
        raise InputError("no p_long of rollouts in the log of star; run the study to its end")
    off = {run: max(abs(q - 2 * p / (1 + p)) for p, q in zip(ps, ps[1:], strict=False)) for run, ps in runs.items()}
    parts = [
        f"{spread([value for (p, _), value in off.items() if p == p_cot])} from p_cot {p_cot:g}"
        for p_cot in sorted({p for p, _ in off})
    ]
    text = f"largest deviation in any round: {', '.join(parts)}"
    return text, verdict_of([value <= 0.05 for value in off.values()]), len({seed for _, seed in off})


def of_temperature(lines: list[dict]) -> Verdict:
    """Algorithms: STaR with the reward `answer` ends below 0.98 at temperature 1.5, and at 0.98 or more at 0.75 and 1."""
    accuracy: dict[float, list[float]] = {}
    for line in select(lines, "star", "greedy"):
        if line["rl.rewards"] == "answer":
            accuracy.setdefault(line["rl.temperature"], []).append(line["accuracy"])
    parts = [f"{spread(accuracy[temperature])} at temperature {temperature:g}" for temperature in sorted(accuracy)]
    low = zip(*(accuracy[temperature] for temperature in (0.75, 1.0)), strict=True)
    fails = [hot < 0.98 <= min(others) for hot, others in zip(accuracy[1.5], low, strict=True)]
    return f"greedy accuracy after 4 rounds: {', '.join(parts)}", verdict_of(fails), len(fails)


def of_unseen(lines: list[dict]) -> Verdict:
    """Unseen: without long rows in SFT, no greedy completion is long after RL, and accuracy stays below 0.6."""
    after = [line for line in select(lines, "grpo", "greedy") if line["mixture.p_cot"] == 0]
    accuracy, p_long = ([line[name] for line in after] for name in ("accuracy", "p_long"))
    text = f"at p_cot 0, greedy p_long {spread(p_long)} and accuracy {spread(accuracy)} after 30 GRPO steps"
    return text, verdict_of([a < 0.6 and p == 0 for a, p in zip(accuracy, p_long, strict=True)]), len(after)


def of_partial(lines: list[dict]) -> Verdict:
    """Partial: after SFT alone with every second step in a quarter of the rows, greedy accuracy of at least 0.98."""
    by_share: dict[str, list[dict]] = {}
    for line in select(lines, "sft", "greedy"):
        by_share.setdefault(line["mixture.forms"], []).append(line)
    parts = [f"with a share of {share}: {_accuracy_and_length(found)}" for share, found in sorted(by_share.items())]
    holds = [line["accuracy"] >= 0.98 for line in by_share["0.25"]]
    return f"greedy after SFT on chains that show every second step, {'; '.join(parts)}", verdict_of(holds), len(holds)


def of_architectures(lines: list[dict]) -> Verdict:
    """Architectures: every model is below 0.6 after SFT and at 0.98 or more after RL, in greedy accuracy."""
    models = list(dict.fromkeys(line["sft.model_config"] for line in lines))
    accuracy = {
        (model, stage): [line["accuracy"] for line in select(lines, stage, "greedy") if line["sft.model_config"] == model]
        for model in models
        for stage in ("sft", "grpo")
    }
    parts = [f"{model} {spread(accuracy[model, 'sft'])}, then {spread(accuracy[model, 'grpo'])}" for model in models]
    holds = [
        before < 0.6 and after >= 0.98
        for model in models
        for before, after in zip(accuracy[model, "sft"], accuracy[model, "grpo"], strict=True)
    ]
    return (
        f"greedy accuracy after SFT and after 15 GRPO steps: {'; '.join(parts)}",
        verdict_of(holds),
        len(holds) // len(models),
    )


def of_rise(lines: list[dict]) -> Verdict:
    """Other tasks: greedy completions are longer after RL than after SFT, and the interval of their accuracy lies above."""
    before, after = before_and_after([line for line in lines if line.get("mixture.p_cot", 0.25) == 0.25])
    rises = [
        b["accuracy_low"] > a["accuracy_high"] and b["length_mean"] > a["length_mean"]
        for a, b in zip(before, after, strict=True)
    ]
    parts = [
        f"{spread([line['accuracy'] for line in stage])}, mean length {spread([line['length_mean'] for line in stage], 1)}"
        for stage in (before, after)
    ]
    return f"greedy accuracy after SFT {parts[0]}; after GRPO {parts[1]}", verdict_of(rises), len(rises)


def of_start(lines: list[dict]) -> Verdict:
    """Switch: RL from early checkpoints makes completions longer, but ends below 0.98; from later ones it reaches 0.98."""
    p_long = {
        (line["rl.start"], line["seed"]): line["heldout/greedy/p_long"]
        for line in lines
        if (line["stage"], line["kind"], line.get("step")) == ("grpo", "log", 0)
    }
    by_step: dict[int, list[dict]] = {}
    for line in select(lines, "grpo", "greedy"):
        by_step.setdefault(int(line["rl.start"].removeprefix("checkpoint-")), []).append(line)
    accuracy = {step: [line["accuracy"] for line in by_step[step]] for step in sorted(by_step)}
    late = [step for step in accuracy if all(min(accuracy[later]) >= 0.98 for later in accuracy if later >= step)]
    early = [step for step in accuracy if step not in late]
    parts = [f"from step {step}: {spread(accuracy[step])}" for step in [*early, *late[:1]]]
    after = f"; at least {min(min(accuracy[step]) for step in late):.3f} from every later step" if late else ""
    works = bool(early and late) and all(max(accuracy[step]) < 0.98 for step in early)
    # the log has no mean length: before RL it is about 1 + 15 p_long, since forms have 1 and 16 symbols
    longer = [
        line["length_mean"] > max(2, 1 + 15 * p_long[line["rl.start"], line["seed"]])
        for step in early
        for line in by_step[step]
    ]
    text = f"greedy accuracy after RL {', '.join(parts)}{after}; of {len(longer)} early runs, {sum(longer)} got longer"
    partly = any(longer) and any(min(values) >= 0.98 for values in accuracy.values())
    verdict = HOLDS if works and all(longer) else PARTLY if partly else FAILS
    return text, verdict, len({line["seed"] for step in by_step for line in by_step[step]})


def of_linear(runs: list[dict]) -> Verdict:
    """Linear model: calibration within 0.02, threshold within 0.02 of 1/3, recursion within 0.03."""
    full = [run for run in runs if "threshold" in run]
    off = [max(abs(row["sampled"]["p_long"] - row["p_cot"]) for row in run["calibration"]) for run in full]
    turns = [crossing(run["threshold"]) for run in full]
    rounds = [max(abs(row["p_long"] - row["predicted"]) for row in run["star"][1:]) for run in full]
    text = (
        f"sampled p_long within {max(off):.3f} of p_cot; greedy completions turn long at p_cot {spread(turns)}; "
        f"from p_cot 0.25, rounds of STaR within {max(rounds):.3f} of 2p / (1 + p)"
    )
    close = [max(off) <= 0.02, max(abs(turn - 1 / 3) for turn in turns) <= 0.02, max(rounds) <= 0.03]
    return text, verdict_of(close), len(full)


def of_rounds(runs: list[dict]) -> Verdict:
    """Linear model: rounds until half of the samples are long, within 10% of log2((1 - p) / p), which 2p / (1 + p) implies."""
    by_p: dict[float, list[float]] = {}
    for run in runs:
        if "star" in run:
            by_p.setdefault(run["config"]["p_cot"], []).append(rounds_to_half(run["star"]))
    parts, close = [], []
    for p, needed in sorted(by_p.items()):
        expected = math.log2((1 - p) / p)
        parts.append(f"{spread(needed, 2)} at p_cot {p:g} (log2: {expected:.2f})")
        close.append(abs(np.mean(needed) - expected) <= 0.1 * expected)
    seeds = min(map(len, by_p.values()))
    return f"linear model: half of the samples are long after {', '.join(parts)} rounds", verdict_of(close), seeds


def rounds_to_half(star: list[dict]) -> float:
    """The round at which sampled p_long passes a half, interpolated in log-odds; infinite if it never does."""
    shares = [min(max(row["p_long"], 1e-6), 1 - 1e-6) for row in star]
    odds = [math.log2(share / (1 - share)) for share in shares]
    for number, (a, b) in enumerate(zip(odds, odds[1:], strict=False)):
        if a < 0 <= b:
            return number - a / (b - a)
    return math.inf
