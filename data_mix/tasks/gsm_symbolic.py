"""GSM8K-style word problems from templates (reasoning-gym's gsm_symbolic): endless, offline, each with its steps."""

import random

from data_mix.errors import InputError
from data_mix.problem import Problem, distinct

STYLE = "gsm8k"
PROMPT_FORMAT = "chat"


def load(
    seed: int, n_train: int | None, n_test: int, *, templates: list[int] | None = None
) -> tuple[list[Problem], list[Problem]]:
    """Draws n_test + n_train different questions from `templates` (numbers 0 to 99; all that reasoning-gym uses when None)."""
    from reasoning_gym.arithmetic.gsm_symbolic import gsm_symbolic

    if n_train is None:
        raise InputError("gsm_symbolic: n_train must be given, problems are generated")
    generators = gsm_symbolic.GSMSymbolicDataset(gsm_symbolic.GSMSymbolicDatasetConfig(size=1, seed=0)).generators
    unknown = [t for t in templates or [] if t not in generators]
    if unknown:
        raise InputError(f"gsm_symbolic: there is no template {unknown[0]}; templates are numbered 0 to {max(generators)}")
    templates = templates or gsm_symbolic.tasks_ok
    rng = random.Random(f"gsm_symbolic/{seed}")

    def draw() -> Problem:
        template = rng.choice(templates)
        item = generators[template](rng, 1.0)
        # The last line of answer_cot repeats the answer, at times as `155.0` where `answer` is `155`.
        steps = tuple(line for line in item["metadata"]["answer_cot"].splitlines() if line and not line.startswith("####"))
        question = item["question"]
        return Problem(f"gsm_symbolic/{template}/{question}", "gsm_symbolic", question, steps, item["answer"], {"style": STYLE})

    problems = list(distinct(draw, n_train + n_test, None, "gsm_symbolic"))
    return problems[n_test:], problems[:n_test]
