"""The sources of a mixture, opened: read, cleaned, kept to the token limit, and in the seed's order."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from data_mix import golds
from data_mix.clean import clean
from data_mix.errors import InputError
from data_mix.lengths import Counter
from data_mix.mixture_config import MixtureConfig, Source
from data_mix.problem import Problem, ProblemPool
from data_mix.reading import Records
from data_mix.rows import BATCH, as_prompts
from data_mix.tasks import find_task

# Splits of up to JUDGED records are judged completely; larger ones, and generated problems, by a sample.
JUDGED, SAMPLE = 20_000, 1_000


@dataclass
class Opened:
    """A source with the problems it can give, and how it came to them.

    Attributes:
        name: the source's own, or with a number where another has the same.
        train: in the seed's order, at least as many as were asked for.
        test: the test problems chosen.
        report: for the manifest: origin, problems in, broken, golds judged, removed, over the limit, left.
    """

    name: str
    train: ProblemPool
    test: ProblemPool
    report: dict = field(default_factory=dict)


def open_sources(config: MixtureConfig, n_train: list[int | None], n_test: list[int]) -> tuple[list[Opened], dict[str, dict]]:
    """Every source, opened, and the origin of each set of `against`.

    `n_train` and `n_test` are the rows asked of each source, None for all that there are.

    Raises:
        InputError: for broken records, gold completions that are not judged correct, rows over the limit where they are not
            dropped, an evaluation set without problems, or too few problems.
    """
    names = distinct(source.name for source in config.sources)
    opened, evaluation, generated, origins = [], [], {}, []
    for name, source, n, m in zip(names, config.sources, n_train, n_test, strict=True):
        task = find_task(source.task)
        if source.generated:
            if n is None:
                raise InputError(f"{name}: n_train must be given, problems are generated")
            one = Opened(name, *task.draw(config.seed, n, m, **source.options), {"drawn": n})
            _, one.report["gold"] = _judge(name, [one.train, one.test], SAMPLE, config, "A fault of the task; please report it")
            if source.in_words:
                generated[f"{name} test"] = one.test
        else:
            records = task.read(config.on_error, **source.options)
            right, gold = _drop_wrong(name, records, config)
            one = _split(name, source, right, m, config.seed)
            one.report["gold"] = gold
            evaluation.append((f"{name} test", records.test or one.test))  # with those dropped: they must not leak either
        opened.append(one)
    for source in config.against:
        records = find_task(source.task).read(config.on_error, **source.options)
        name = source.options.get("path", source.name)
        if not (records.test or records.train):
            raise InputError(f"against: {name} has no problems")
        evaluation.append((f"{name} test", records.test or records.train))
        origins.append(records.origin)
    sets = distinct(name for name, _ in evaluation)
    _clean(config, opened, dict(zip(sets, (problems for _, problems in evaluation), strict=True)), generated)
    if config.max_tokens is not None:
        _drop_long(config, opened)
    for one, n in zip(opened, n_train, strict=True):
        one.report["left"] = len(one.train)
        least = 1 if n is None else n
        if least > len(one.train) * config.max_repeats:
            raise InputError(_too_few(one.name, least, one.report, config.max_repeats))
    return opened, dict(zip(sets[len(sets) - len(origins) :], origins, strict=True))


def distinct(names: Iterable[str]) -> list[str]:
    """The names, no two alike: the second `parity` is `parity (2)`."""
    given: list[str] = []
    for name in names:
        unique, number = name, 1
        while unique in given:
            number += 1
            unique = f"{name} ({number})"
        given.append(unique)
    return given


def in_order(problems: list[Problem], seed: int) -> ProblemPool:
    """The problems in the seed's order; it does not change for the rest when some are taken out."""
    order = sorted(problems, key=lambda p: hashlib.blake2b(f"{seed}/{p.id}".encode()).digest())
    return ProblemPool(len(order), order.__getitem__)


def _drop_wrong(name: str, records: Records, config: MixtureConfig) -> tuple[Records, dict]:
    """The records without those whose gold completion is not judged correct, if they may be dropped; and the report."""
    splits = {split: problems for split in ("train", "test") if (problems := getattr(records, split)) is not None}
    pools = [ProblemPool(len(problems), problems.__getitem__) for problems in splits.values()]
    fix = None if config.on_error == "drop" else "Mend them, or set `on_error: drop`"
    wrong, report = _judge(name, pools, JUDGED, config, fix)
    broken = dict(records.broken)
    for (split, problems), numbers in zip(splits.items(), wrong, strict=True):
        splits[split] = [problem for number, problem in enumerate(problems) if number not in numbers]
        broken[split] += len(numbers)
    return replace(records, broken=broken, **splits), report


def _judge(
    name: str, pools: list[ProblemPool], most: int, config: MixtureConfig, fix: str | None
) -> tuple[list[dict[int, str]], dict]:
    """For each pool the problems whose gold completion is wrong in some form; and the report.

    `fix` says what to do about them; None where they are dropped. The long form is judged in any case: test rows have it.
    """
    forms = dict.fromkeys(("long", *config.forms))
    numbers = [golds.choose(len(pool), most, SAMPLE) for pool in pools]
    wrong = [golds.judge(pool, some, forms, config.answer_style) for pool, some in zip(pools, numbers, strict=True)]
    seen = {pool.problem(number).id: what for pool, found in zip(pools, wrong, strict=True) for number, what in found.items()}
    checked = sum(map(len, numbers))
    if seen and fix:
        first = "; ".join(f"{id} ({what})" for id, what in list(seen.items())[:3]) + ("; ..." if len(seen) > 3 else "")
        raise InputError(f"{name}: {len(seen)} of {checked} gold completions are not judged correct: {first}. {fix}")
    return wrong, {"checked": checked, "wrong": list(seen)}


def _split(name: str, source: Source, records: Records, n_test: int, seed: int) -> Opened:
    """Train and test of a source of records."""
    if records.train is None:
        fix = "to draw train and test from one file, give that file as the path"
        raise InputError(f"{name}: {source.options['path']} has no train split; {fix}")
    train = in_order(records.train, seed)
    if records.test is None:
        if n_test >= len(train):
            raise InputError(f"{name}: {n_test} test rows asked for, there are {len(train)} problems for train and test")
        test = train.take(range(n_test))
        train = train.take(range(n_test, len(train)))
    else:
        if n_test > len(records.test):
            raise InputError(f"{name} test: {n_test} rows asked for, the source has {len(records.test)}")
        test = in_order(records.test, seed).take(range(n_test))
    report = {"origin": records.origin, "problems": len(train), "broken": sum(records.broken.values())}
    return Opened(name, train, test, report)


def _clean(config: MixtureConfig, opened: list[Opened], evaluation: dict, generated: dict) -> None:
    """Removes repetitions and what is in an evaluation set; generated problems among themselves need none of it.

    `evaluation` and `generated` are problems by the name of the set.
    """
    if not evaluation:
        return
    words = {one.name: one for source, one in zip(config.sources, opened, strict=True) if source.in_words}
    kept, removed, other_answer = clean({name: one.train for name, one in words.items()}, evaluation, config.ngram, generated)
    for name, one in words.items():
        one.train = one.train.take(kept[name])
        one.report["removed"] = [asdict(overlap) for overlap in removed[name]]
        one.report["same_text_other_answer"] = [asdict(overlap) for overlap in other_answer[name]]


def _drop_long(config: MixtureConfig, opened: list[Opened]) -> None:
    """Keeps the problems whose long form is within `max_tokens`: which problems stay does not depend on the forms' shares."""
    counter = Counter(config.tokenizer)
    for one in opened:
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
            raise InputError(f"{one.name}: {over} of {len(one.train)} problems are over {config.max_tokens} tokens; {fix}")
        if over:
            one.train = one.train.take(within)


def _too_few(name: str, n: int, report: dict, repeats: int) -> str:
    left, removed = report["left"], len(report.get("removed", []))
    gone = {"broken": report.get("broken"), "removed": removed, "over the limit": report.get("over_limit")}
    why = ", ".join(f"{count} {what}" for what, count in gone.items() if count)
    allowed = f", each at most {repeats} times" if repeats > 1 else ""
    fix = f"ask for at most {left * repeats}, or allow repetition with `max_repeats: {-(-n // max(left, 1))}`"
    return f"{name}: {n} rows asked for, the source has {left}{f' ({why})' if why else ''}{allowed}; {fix}"
