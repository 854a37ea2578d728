"""GSM8K-style word problems with steps, generated offline from the templates of reasoning-gym's gsm_symbolic."""

import hashlib
import random
from array import array

from tqdm.auto import tqdm

from data_mix.errors import InputError
from data_mix.problem import Problem, ProblemPool

PROMPT_FORMAT = "chat"


def draw(seed: int, n_train: int, n_test: int, *, templates: list[int] | None = None) -> tuple[ProblemPool, ProblemPool]:
    """Draws n_test + n_train distinct questions from `templates` (0 to 99; None: all that reasoning-gym uses).

    Only a seed and a hash are stored for each question; the problem is regenerated on access.
    """
    from reasoning_gym.arithmetic.gsm_symbolic import gsm_symbolic

    generators = gsm_symbolic.GSMSymbolicDataset(gsm_symbolic.GSMSymbolicDatasetConfig(size=1, seed=0)).generators
    if templates is not None and not (isinstance(templates, list) and templates):
        raise InputError(f"gsm_symbolic: templates is {templates!r}; it must be a list of numbers")
    unknown = [t for t in templates or [] if type(t) is not int or t not in generators]
    if unknown:
        raise InputError(f"gsm_symbolic: no template {unknown[0]}; templates are numbered 0 to {max(generators)}")
    templates = templates or gsm_symbolic.tasks_ok

    def make(problem_seed: int) -> Problem:
        rng = random.Random(problem_seed)
        template = rng.choice(templates)
        item = generators[template](rng, 1.0)
        # The last line of answer_cot repeats the answer, sometimes as `155.0` where `answer` is `155`.
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
            problem_seed = rng.getrandbits(64)
            key = hashlib.blake2b(make(problem_seed).id.encode(), digest_size=8).digest()
            if key not in seen:
                seen.add(key)
                seeds.append(problem_seed)
                bar.update()
    if len(seeds) < n:
        found = f"{len(seeds)} distinct problems found in {100 * n} draws"
        raise InputError(f"gsm_symbolic: {found}, n_train + n_test is {n}; reduce it, or use more templates")
    return ProblemPool(n_train, lambda i: make(seeds[n_test + i])), ProblemPool(n_test, lambda i: make(seeds[i]))
