"""Rows from problems: sources at shares, forms at shares, exact in number, nested and paired by seed.

Nested and paired: a problem's place in the order of its source depends on the seed alone, and forms are given out along
that order. So the problems in long form at p_cot 0.1 are among those at 0.3, and only the form differs between p_cots.
"""

import dataclasses
import itertools
import random

from data_mix.config import MixtureConfig
from data_mix.errors import InputError
from data_mix.forms import write_completion
from data_mix.problem import Problem
from data_mix.tasks import find_task


def apportion(total: int, shares: list[float]) -> list[int]:
    """`total` divided at `shares` by the largest-remainder method (Hamilton); a half goes to the even, as in `round`."""
    exact = [total * share for share in shares]
    counts = [int(x + 1e-9) for x in exact]

    def priority(i: int) -> tuple[float, int]:
        return round(counts[i] - exact[i], 9), i if counts[i] % 2 else 2 * len(shares) - i

    by_remainder = sorted(range(len(shares)), key=priority)
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return counts


def assign_forms(sizes: list[int], forms: dict[str, float], seed: int) -> list[list[str]]:
    """The form of each of `sizes[s]` problems of each source s; over all sources each form's count is exact.

    The problems of all sources are laid out in one order in which every source is spread evenly (the key of the j-th of n
    is (j + 1/2) / n, the divisor method of Sainte-Lague), and the forms take consecutive stretches of it. So every source
    has its forms at the same shares to within a row, and a larger share of long only adds long rows.
    """
    order = sorted((((j + 0.5) / n, s, j) for s, n in enumerate(sizes) for j in range(n)))
    counts = apportion(len(order), list(forms.values()))
    labels = itertools.chain.from_iterable([form] * count for form, count in zip(forms, counts, strict=True))
    assigned: list[list[str]] = [[""] * n for n in sizes]
    for (_, s, j), form in zip(order, labels, strict=True):
        assigned[s][j] = form
    for s, n in enumerate(sizes):  # which problem is j-th is the seed's choice, not the loader's order
        place = random.Random(f"forms/{seed}/{s}").sample(range(n), n)
        assigned[s] = [assigned[s][j] for j in place]
    return assigned


def make_row(problem: Problem, form: str, config: MixtureConfig) -> dict:
    """One row of a mixture's parquet; prompt and completion are strings, or message lists for chat."""
    import json

    if config.answer_style and problem.meta["style"] != "parity":
        problem = dataclasses.replace(problem, meta={**problem.meta, "style": config.answer_style})
    completion = write_completion(problem, form)
    if config.chat:
        system = [{"role": "system", "content": config.system}] if config.system else []
        prompt = [*system, {"role": "user", "content": problem.prompt}]
        completion = [{"role": "assistant", "content": completion}]
    else:
        prompt = (config.prompt_template or "{prompt}").replace("{prompt}", problem.prompt)
    return {
        "problem_id": problem.id,
        "source": problem.source,
        "form": form,
        "prompt": prompt,
        "completion": completion,
        "answer": problem.answer,
        "meta": json.dumps(problem.meta, sort_keys=True),
    }


def make_rows(config: MixtureConfig) -> tuple[list[dict], list[dict]]:
    """The train rows, shuffled by the seed, and the test rows (long form: the reference solution)."""
    shares = [source.share for source in config.sources]
    n_test = apportion(config.n_test, shares)
    n_train = [None] if config.n_train is None else apportion(config.n_train, shares)
    train, test = [], []
    for source, n, m in zip(config.sources, n_train, n_test, strict=True):
        more, held_out = find_task(source.task).load(config.seed, n, m, **source.options)
        train.append(more)
        test.extend(held_out)
    for name, problems in (("train", list(itertools.chain(*train))), ("test", test)):
        ids = [p.id for p in problems]
        if len(set(ids)) < len(ids):
            raise InputError(f"{name}: two sources give the same problems; name each task once")
    forms = assign_forms([len(problems) for problems in train], config.forms, config.seed)
    pairs = zip(itertools.chain(*train), itertools.chain(*forms), strict=True)
    rows = [make_row(problem, form, config) for problem, form in pairs]
    random.Random(f"order/{config.seed}").shuffle(rows)
    return rows, [make_row(problem, "long", config) for problem in test]
