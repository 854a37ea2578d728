"""`make claims`: which of the paper's claims (arXiv 2510.11495) hold here, as the first table of recipes/README.md.

Every number is computed from result files: `results.jsonl`, which `launch ablate` writes into the folder of an ablation, kept
as recipes/TASK/results/STUDY.jsonl, and what linear.py writes, one line per run, in recipes/linear/results/runs.jsonl.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_mix import files
from data_mix.errors import InputError, exit_code
from recipes.claims import verdicts

RECIPES = Path(__file__).parents[1]
PAGE = RECIPES / "README.md"
BEGIN, END = "<!-- written by `make claims` -->\n", "<!-- end of what `make claims` writes -->\n"
ABLATE = "python -m launch ablate recipes/"


@dataclass(frozen=True)
class Claim:
    """A line of the table.

    Attributes:
        text: the paper's claim.
        command: measures it.
        link: the page and section that describes the study.
        results: its result file below recipes/; None for a study that was not run.
        judge: result file's lines → verdict.
    """

    text: str
    command: str
    link: str
    results: str | None = None
    judge: Callable[[list[dict]], verdicts.Verdict] | None = None


def study(name: str, section: str) -> tuple[str, str, str]:
    """Command, link and result file of an ablation of parity."""
    return f"{ABLATE}parity/{name}.yaml", f"parity/README.md#{section}", f"parity/results/{name}.jsonl"


DEMO = study("seeds", "the-demo")
LINEAR = "linear/README.md", "linear/results/runs.jsonl"
CLAIMS = (
    Claim("After SFT, the share of long samples matches that of the training data", *DEMO, verdicts.of_calibration),
    Claim("Below 1/3, greedy completions are short guesses; RL makes them long and right", *DEMO, verdicts.of_repair),
    Claim(
        "SFT alone needs long chains in about a third of the rows",
        *study("threshold", "how-much-long-chain-of-thought-does-sft-need"),
        verdicts.of_threshold,
    ),
    Claim("STaR follows p' = 2p / (1 + p)", *study("rounds", "star-round-by-round"), verdicts.of_recursion),
    Claim(
        "The number of STaR rounds grows as log((1 - p) / p)",
        "python recipes/linear.py --study star --p-cot P --seed SEED",
        *LINEAR,
        verdicts.of_rounds,
    ),
    Claim(
        "RL that starts too early makes completions longer but not correct",
        *study("switch", "when-to-switch-to-rl"),
        verdicts.of_start,
    ),
    Claim(
        "STaR with the end-to-end reward fails at a high temperature",
        *study("algorithms", "algorithms-rewards-and-sampling-temperatures"),
        verdicts.of_temperature,
    ),
    Claim(
        "RL cannot create what SFT never showed",
        *study("unseen", "can-rl-create-a-form-that-sft-never-showed"),
        verdicts.of_unseen,
    ),
    Claim("Partial chains generalise below 1/3", *study("partial", "partial-chains"), verdicts.of_partial),
    Claim(
        "Depth and architecture do not matter",
        *study("architectures", "depth-and-architecture"),
        verdicts.of_architectures,
    ),
    Claim(
        "RL makes accuracy and length rise together on multiplication (here of 3 by 2 digits)",
        f"{ABLATE}multiplication/small.yaml",
        "multiplication/README.md",
        "multiplication/results/small.jsonl",
        verdicts.of_rise,
    ),
    Claim(
        "Accuracy and length rise together on word problems (here MAWPS and ASDiv-A, SmolLM2-135M)",
        f"{ABLATE}mawps_asdiv/study.yaml",
        "mawps_asdiv/README.md",
        "mawps_asdiv/results/study.jsonl",
        verdicts.of_rise,
    ),
    Claim(
        "The same on GSM8K (here with SmolLM2-135M)",
        f"{ABLATE}gsm8k/calculator/study.yaml",
        "gsm8k/README.md",
        "gsm8k/results/calculator.jsonl",
        verdicts.of_rise,
    ),
    Claim("The same on GSM8K and MATH, Llamas of 3B and 8B", "", "gsm8k/README.md#llama-not-run-on-gpus"),
    Claim(
        "A linear model shows calibration, threshold and recursion",
        "python recipes/linear.py --seed SEED",
        *LINEAR,
        verdicts.of_linear,
    ),
)


def make_table() -> str:
    """The table as Markdown."""
    lines = ["| the paper's claim | measured here | seeds | verdict | command |", "|---|---|---|---|---|"]
    for claim in CLAIMS:
        measured, verdict, seeds = "see its page", "not run at its size", "-"
        if claim.judge:
            try:
                measured, verdict, seeds = claim.judge(files.read_json_lines(RECIPES / claim.results))
            except InputError as error:
                raise InputError(f"{RECIPES / claim.results}: {error}") from None
        command = f"`{claim.command}`" if claim.command else "-"
        lines.append(f"| [{claim.text}]({claim.link}) | {measured} | {seeds} | {verdict} | {command} |")
    return "\n".join(lines) + "\n"


def make_page() -> str:
    """recipes/README.md with the table of today's result files."""
    page = PAGE.read_text(encoding="utf-8")
    if (page.count(BEGIN), page.count(END)) != (1, 1):
        raise InputError(f"{PAGE}: the lines around the table are missing; restore {BEGIN.strip()} and {END.strip()}")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}{make_table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    sys.exit(exit_code(lambda: files.write_text(PAGE, make_page())))
