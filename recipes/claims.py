"""`make claims`: which of the paper's claims (arXiv 2510.11495) hold here, as the first table of recipes/README.md.

Every number is computed from result files: `results.jsonl`, which `launch ablate` writes into the folder of an ablation, kept
as recipes/TASK/results/STUDY.jsonl, and what linear.py writes, one line per run, in recipes/linear/results/runs.jsonl. A number
over several seeds is their mean, with the smallest and the largest in brackets.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_mix import files
from recipes.linear import crossing

HERE = Path(__file__).parent
PAGE = HERE / "README.md"
BEGIN, END = "<!-- written by `make claims` -->\n", "<!-- end of what `make claims` writes -->\n"
HOLDS, PARTLY, FAILS = "holds", "partly", "does not hold"
ABLATE = "python -m launch ablate recipes/"
Verdict = tuple[str, str, int]  # what was measured, whether the claim holds, the number of seeds


@dataclass(frozen=True)
class Claim:
    """A line of the table.

    Attributes:
        text: the paper's claim.
        command: measures it.
        link: the page and section that describes the study.
        results: its result file below recipes/; None if the study was last run before these files were kept.
        judge: result file's lines → verdict.
    """

    text: str
    command: str
    link: str
    results: str | None = None
    judge: Callable[[list[dict]], Verdict] | None = None


def select(lines: list[dict], stage: str, kind: str) -> list[dict]:
    """The evals of a stage, in the order of their seeds."""
    return sorted((line for line in lines if (line["stage"], line["kind"]) == (stage, kind)), key=lambda line: line["seed"])


def spread(values: list[float], digits: int = 3) -> str:
    """Mean, smallest and largest value as text."""
    mean, low, high = (f"{value:.{digits}f}" for value in (np.mean(values), min(values), max(values)))
    return f"{mean} [{low}, {high}]"


def verdict_of(holds: list[bool]) -> str:
    """Whether a claim holds for all seeds (or values), for some, or for none."""
    return HOLDS if all(holds) else PARTLY if any(holds) else FAILS


def judge_calibration(lines: list[dict]) -> Verdict:
    """Demo: sampled p_long after SFT within 0.05 of the p_cot of 0.25."""
    p_long = [line["p_long"] for line in select(lines, "sft", "sampled")]
    text = f"sampled p_long {spread(p_long)} after SFT at p_cot 0.25"
    return text, verdict_of([abs(p - 0.25) <= 0.05 for p in p_long]), len(p_long)


def judge_repair(lines: list[dict]) -> Verdict:
    """Demo: greedy accuracy below 0.6 at median length 1 after SFT, above 0.98 at the full length of 16 after RL."""
    before, after = (select(lines, stage, "greedy") for stage in ("sft", "grpo"))
    guess = [line["accuracy"] < 0.6 and line["length_p50"] == 1 for line in before]
    repaired = [line["accuracy"] > 0.98 and line["length_p50"] == 16 for line in after]
    text = f"greedy after SFT: {_accuracy_and_length(before)}; after 30 GRPO steps: {_accuracy_and_length(after)}"
    return text, verdict_of([a and b for a, b in zip(guess, repaired, strict=True)]), len(before)


def _accuracy_and_length(lines: list[dict]) -> str:
    accuracy, length = ([line[name] for line in lines] for name in ("accuracy", "length_p50"))
    return f"accuracy {spread(accuracy)}, median length {spread(length, 0)}"


def judge_start(lines: list[dict]) -> Verdict:
    """Switch: RL from early checkpoints ends below 0.98, at times with p_long above 0.1; from later ones it reaches 0.98."""
    by_step: dict[int, list[dict]] = {}
    for line in select(lines, "grpo", "greedy"):
        by_step.setdefault(int(line["rl.start"].removeprefix("checkpoint-")), []).append(line)
    accuracy = {step: [line["accuracy"] for line in by_step[step]] for step in sorted(by_step)}
    early = [step for step in accuracy if max(accuracy[step]) < 0.98]
    late = [step for step in accuracy if min(accuracy[step]) >= 0.98]
    parts = [f"from step {step}: {spread(accuracy[step])}" for step in [*early, *late[:1]]]
    after = f"; at least {min(min(accuracy[step]) for step in late):.3f} from every later one" if late else ""
    works = bool(early and late) and max(early) < min(late) and len(early) + len(late) == len(accuracy)
    longer = [line["p_long"] > 0.1 for step in early for line in by_step[step]]
    text = f"greedy accuracy after RL {', '.join(parts)}{after}; of {len(longer)} early runs {sum(longer)} grew longer"
    verdict = HOLDS if works and any(longer) else PARTLY if early and late else FAILS
    return text, verdict, len({line["seed"] for step in by_step for line in by_step[step]})


def judge_linear(runs: list[dict]) -> Verdict:
    """Linear model: calibration within 0.02, threshold within 0.02 of 1/3, recursion within 0.03."""
    full = [run for run in runs if "threshold" in run]
    off = [max(abs(row["sampled"]["p_long"] - row["p_cot"]) for row in run["calibration"]) for run in full]
    turns = [crossing(run["threshold"]) for run in full]
    rounds = [max(abs(row["p_long"] - row["predicted"]) for row in run["star"][1:]) for run in full]
    text = (
        f"sampled p_long within {max(off):.3f} of p_cot; greedy completions turn long at p_cot {spread(turns)}; "
        f"rounds of STaR within {max(rounds):.3f} of 2p / (1 + p)"
    )
    close = [max(off) <= 0.02, max(abs(turn - 1 / 3) for turn in turns) <= 0.02, max(rounds) <= 0.03]
    return text, verdict_of(close), len(full)


def judge_rounds(runs: list[dict]) -> Verdict:
    """Linear model: rounds until half of the samples are long, within 10% of log2((1 - p) / p), which 2p / (1 + p) implies."""
    by_p: dict[float, list[float]] = {}
    for run in runs:
        if "star" in run and (needed := rounds_to_half(run["star"])) is not None:
            by_p.setdefault(run["config"]["p_cot"], []).append(needed)
    parts, close = [], []
    for p, needed in sorted(by_p.items()):
        expected = math.log2((1 - p) / p)
        parts.append(f"{spread(needed, 2)} at p_cot {p:g} (log2: {expected:.2f})")
        close.append(abs(np.mean(needed) - expected) <= 0.1 * expected)
    seeds = min(map(len, by_p.values()))
    return f"linear model: half of the samples are long after {', '.join(parts)} rounds", verdict_of(close), seeds


def rounds_to_half(star: list[dict]) -> float | None:
    """The round at which sampled p_long passes a half, interpolated in log-odds; None if it never does."""
    odds = [math.log2(row["p_long"] / (1 - row["p_long"])) for row in star if 0 < row["p_long"] < 1]
    for number, (a, b) in enumerate(zip(odds, odds[1:], strict=False)):
        if a < 0 <= b:
            return number - a / (b - a)
    return None


def study(name: str, section: str) -> tuple[str, str]:
    """Command and link of an ablation of parity."""
    return f"{ABLATE}parity/{name}.yaml", f"parity/README.md#{section}"


DEMO = (*study("seeds", "the-demo"), "parity/results/seeds.jsonl")
LINEAR = ("python recipes/linear.py", "linear/README.md", "linear/results/runs.jsonl")
CLAIMS = (
    Claim("After SFT, samples are long as often as the training data", *DEMO, judge_calibration),
    Claim("Below 1/3, greedy completions are short guesses; RL makes them long and right", *DEMO, judge_repair),
    Claim("SFT alone needs a third", *study("threshold", "how-much-long-chain-of-thought-does-sft-need")),
    Claim("STaR follows p' = 2p / (1 + p)", *study("rounds", "star-round-by-round")),
    Claim("Its rounds grow as log((1 - p) / p)", *LINEAR, judge_rounds),
    Claim(
        "RL that starts too early makes completions longer, not right",
        *study("switch", "when-to-switch-to-rl"),
        "parity/results/switch.jsonl",
        judge_start,
    ),
    Claim(
        "STaR with the end-to-end reward fails at a high temperature",
        *study("algorithms", "algorithms-rewards-and-sampling-temperatures"),
    ),
    Claim("RL cannot create what SFT never showed", *study("unseen", "can-rl-create-a-form-that-sft-never-showed")),
    Claim("Partial chains generalise below 1/3", *study("partial", "partial-chains")),
    Claim("Depth and architecture do not matter", *study("architectures", "depth-and-architecture")),
    Claim("The same on multiplication", f"{ABLATE}multiplication/small.yaml", "multiplication/README.md"),
    Claim("Accuracy and length rise together on GSM8K and MATH", "", "gsm8k/README.md"),
    Claim("A linear model shows calibration, threshold and recursion", *LINEAR, judge_linear),
)


def make_table() -> str:
    """The table as Markdown."""
    lines = ["| the paper's claim | measured here | seeds | verdict | command |", "|---|---|---|---|---|"]
    for claim in CLAIMS:
        measured, verdict, seeds = "see its page", "no result file yet" if claim.command else "not run at its size", "-"
        if claim.judge:
            measured, verdict, seeds = claim.judge(files.read_json_lines(HERE / claim.results))
        command = f"`{claim.command}`" if claim.command else "-"
        lines.append(f"| [{claim.text}]({claim.link}) | {measured} | {seeds} | {verdict} | {command} |")
    return "\n".join(lines) + "\n"


def make_page() -> str:
    """recipes/README.md with the table of today's result files."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}{make_table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    files.write_text(PAGE, make_page())
