"""GSM8K-style word problems from templates (reasoning-gym's gsm_symbolic): endless, offline, each with its steps."""

import hashlib
import random
from array import array

from tqdm.auto import tqdm

from data_mix.errors import InputError
from data_mix.problem import Problem, ProblemPool

PROMPT_FORMAT = "chat"


def draw(seed: int, n_train: int, n_test: int, *, templates: list[int] | None = None) -> tuple[ProblemPool, ProblemPool]:
    """n_test + n_train different questions from `templates` (numbers 0 to 99; all that reasoning-gym uses when None).

    Only a seed and a hash of each question are kept; the problem is made again when it is asked for.
    """
    from reasoning_gym.arithmetic.gsm_symbolic import gsm_symbolic

    generators = gsm_symbolic.GSMSymbolicDataset(gsm_symbolic.GSMSymbolicDatasetConfig(size=1, seed=0)).generators
    if templates is not None and not isinstance(templates, list):
        raise InputError(f"gsm_symbolic: templates is {templates!r}; it must be a list of numbers")
    unknown = [t for t in templates or [] if not isinstance(t, int) or t not in generators]
    if unknown:
        raise InputError(f"gsm_symbolic: there is no template {unknown[0]}; templates are numbered 0 to {max(generators)}")
    templates = templates or gsm_symbolic.tasks_ok

    def make(own_seed: int) -> Problem:
        rng = random.Random(own_seed)
        template = rng.choice(templates)
        item = generators[template](rng, 1.0)
        # The last line of answer_cot repeats the answer, at times as `155.0` where `answer` is `155`.
        steps = tuple(line for line in item["metadata"]["answer_cot"].splitlines() if line and not line.startswith("####"))
        question = item["question"]
        id = f"gsm_symbolic/{template}/{question}"
        return Problem(id, "gsm_symbolic", question, steps, item["answer"], {"style": "gsm8k"})

    n, rng = n_train + n_test, random.Random(f"gsm_symbolic/{seed}")
    seeds, seen = array("Q"), set()
    with tqdm(total=n, desc="drawing gsm_symbolic", delay=2) as bar:
        for _ in range(100 * n):
            if len(seeds) == n:
                break
            own_seed = rng.getrandbits(64)
            key = hashlib.blake2b(make(own_seed).id.encode(), digest_size=8).digest()
            if key not in seen:
                seen.add(key)
                seeds.append(own_seed)
                bar.update()
    if len(seeds) < n:
        raise InputError(
            f"gsm_symbolic: {n} different problems asked for, {len(seeds)} found in {100 * n} draws; ask for fewer"
        )
    return ProblemPool(n_train, lambda number: make(seeds[n_test + number])), ProblemPool(
        n_test, lambda number: make(seeds[number])
    )
