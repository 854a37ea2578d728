"""The sources of a mixture, opened: read, cleaned, kept to the token limit, and in the seed's order."""

import hashlib
from dataclasses import asdict, dataclass, field

import numpy as np

from data_mix.clean import clean
from data_mix.config import MixtureConfig, Source
from data_mix.errors import InputError
from data_mix.lengths import Counter
from data_mix.problem import Pool, Problem
from data_mix.reading import Records
from data_mix.rows import BATCH, as_prompts
from data_mix.tasks import find_task


@dataclass
class Opened:
    """A source with the problems it can give, and how it came to them.

    Attributes:
        train: in the seed's order, at least as many as were asked for.
        test: the test problems chosen.
        report: for the manifest: origin, problems in, broken, removed, over the limit, left.
    """

    train: Pool
    test: Pool
    report: dict = field(default_factory=dict)


def open_sources(config: MixtureConfig, n_train: list[int | None], n_test: list[int]) -> list[Opened]:
    """Opens every source; `n_train` and `n_test` are the rows asked of each, None for all that there are.

    Raises:
        InputError: for broken records, rows over the limit where they are not dropped, or too few problems.
    """
    opened, evaluation = [], {}
    for source, n, m in zip(config.sources, n_train, n_test, strict=True):
        task = find_task(source.task)
        if source.generated:
            if n is None:
                raise InputError(f"{source.name}: n_train must be given, problems are generated")
            opened.append(Opened(*task.draw(config.seed, n, m, **source.options), {"drawn": n}))
        else:
            records = task.read(config.on_error, **source.options)
            source_opened, held_out = _split(source, records, m, config.seed)
            opened.append(source_opened)
            evaluation[f"{source.name} test"] = held_out
    for source in config.against:
        records = find_task(source.task).read(config.on_error, **source.options)
        evaluation.setdefault(f"{source.options.get('path', source.name)} test", records.test or records.train)
    _clean(config, opened, evaluation)
    if config.max_tokens is not None:
        _drop_long(config, opened)
    for source, one, n in zip(config.sources, opened, n_train, strict=True):
        one.report["left"] = len(one.train)
        if n is not None and n > len(one.train) * config.max_repeats:
            raise InputError(_too_few(source.name, n, one.report, config.max_repeats))
    return opened


def in_order(problems: list[Problem], seed: int) -> Pool:
    """The problems in the seed's order; it does not change for the rest when some are taken out."""
    order = sorted(problems, key=lambda p: hashlib.blake2b(f"{seed}/{p.id}".encode()).digest())
    return Pool(len(order), order.__getitem__)


def _split(source: Source, records: Records, n_test: int, seed: int) -> tuple[Opened, list[Problem] | Pool]:
    """Train and test of a source of records, and the whole test set: it is cleaned against, not only the chosen part."""
    if records.train is None:
        fix = "to draw train and test from one file, give that file as the path"
        raise InputError(f"{source.name}: {source.options['path']} has no train split; {fix}")
    train = in_order(records.train, seed)
    if records.test is None:
        if n_test >= len(train):
            raise InputError(f"{source.name}: {n_test} test rows asked for, there are {len(train)} problems for train and test")
        test = held_out = train.take(range(n_test))
        train = train.take(range(n_test, len(train)))
    else:
        held_out = records.test
        if n_test > len(held_out):
            raise InputError(f"{source.name} test: {n_test} rows asked for, the source has {len(held_out)}")
        test = in_order(held_out, seed).take(range(n_test))
    report = {"origin": records.origin, "problems": len(train), "broken": sum(records.broken.values())}
    return Opened(train, test, report), held_out


def _clean(config: MixtureConfig, opened: list[Opened], evaluation: dict) -> None:
    """Removes repetitions and what is in an evaluation set; generated problems among themselves need none of it."""
    if not evaluation:
        return
    words = [(source, one) for source, one in zip(config.sources, opened, strict=True) if source.in_words]
    kept, removed = clean({source.name: one.train for source, one in words}, evaluation, config.ngram)
    for source, one in words:
        one.train = one.train.take(kept[source.name])
        one.report["removed"] = [asdict(overlap) for overlap in removed[source.name]]


def _drop_long(config: MixtureConfig, opened: list[Opened]) -> None:
    """Keeps the problems whose long form is within `max_tokens`: which problems stay does not depend on the forms' shares."""
    counter = Counter(config.tokenizer)
    for source, one in zip(config.sources, opened, strict=True):
        within = []
        for start in range(0, len(one.train), BATCH):
            numbers = np.arange(start, min(start + BATCH, len(one.train)))
            columns = as_prompts(one.train.columns(numbers, "long", config.answer_style), config)
            lengths = counter.rows(columns["prompt"].to_pylist(), columns["completion"].to_pylist())
            within.extend(numbers[np.array(lengths) <= config.max_tokens].tolist())
        over = len(one.train) - len(within)
        one.report["over_limit"] = over
        if over and config.over_limit == "refuse":
            fix = "raise max_tokens, or set `over_limit: drop`"
            raise InputError(f"{source.name}: {over} of {len(one.train)} problems are over {config.max_tokens} tokens; {fix}")
        if over:
            one.train = one.train.take(within)


def _too_few(name: str, n: int, report: dict, repeats: int) -> str:
    left, removed = report["left"], len(report.get("removed", []))
    gone = {"broken": report.get("broken"), "removed": removed, "over the limit": report.get("over_limit")}
    why = ", ".join(f"{count} {what}" for what, count in gone.items() if count)
    allowed = f", each at most {repeats} times" if repeats > 1 else ""
    fix = f"ask for at most {left * repeats}, or allow repetition with `max_repeats: {-(-n // max(left, 1))}`"
    return f"{name}: {n} rows asked for, the source has {left}{f' ({why})' if why else ''}{allowed}; {fix}"
