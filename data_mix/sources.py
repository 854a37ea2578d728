"""Loads the sources of a mixture: reads or generates problems, checks golds, shuffles, decontaminates, drops long ones."""

import collections
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from data_mix import golds
from data_mix.decontamination import decontaminate
from data_mix.errors import InputError
from data_mix.lengths import LengthCounter
from data_mix.mixture_config import MixtureConfig, Source
from data_mix.own_forms import OwnFormPool, check_texts, lacking
from data_mix.problem import Problem, ProblemPool
from data_mix.reading import Records
from data_mix.recognition import fit
from data_mix.rows import BATCH, as_prompts
from data_mix.tasks import find_task
from rewards.own_code import is_own

# The golds of splits with up to CHECK_ALL records are all checked; of larger splits and generated problems, a sample.
CHECK_ALL, SAMPLE = 20_000, 1_000


@dataclass
class LoadedSource:
    """The problems of a source, and a report of how they were selected.

    Attributes:
        name: the source's name, numbered if another source has the same one.
        train: all train problems available, in the seed's order.
        test: the test problems selected.
        report: for the manifest: origin, number of problems, broken, golds checked, removed, over the limit, left.
        rule: how the form of a completion is recognised (recognition.py); None for the built-in forms.
    """

    name: str
    train: ProblemPool
    test: ProblemPool
    report: dict = field(default_factory=dict)
    rule: dict | None = None


def load_sources(config: MixtureConfig, n_train: list[int | None], n_test: list[int]) -> tuple[list[LoadedSource], dict]:
    """Loads every source; also returns the origin of each set in `against`, by name.

    `n_train` and `n_test` are the rows needed from each source; None means all available.

    Raises:
        InputError: for broken records, gold completions not judged correct, rows over the token limit (each unless they are to
            be dropped), an evaluation set without problems, or too few problems.
    """
    names = unique_names(source.name for source in config.sources)
    sources, evaluation, generated, origins = [], [], {}, []
    for name, source, n, m in zip(names, config.sources, n_train, n_test, strict=True):
        if source.generated:
            loaded = _draw(name, source, n, m, config)
            if source.is_text:
                generated[f"{name} test"] = loaded.test
        else:
            loaded, test = _read(name, source, m, config)
            evaluation.append((f"{name} test", test))
        sources.append(loaded)
    for source in config.against:
        records = find_task(source.task).read(config.on_error, **source.options)
        name = source.options.get("path", source.name)
        if not (records.test or records.train):
            raise InputError(f"against: {name} has no problems; check the path")
        evaluation.append((f"{name} test", records.test or records.train))
        origins.append(records.origin)
    sets = unique_names(name for name, _ in evaluation)
    _decontaminate(config, sources, dict(zip(sets, (problems for _, problems in evaluation), strict=True)), generated)
    if config.max_tokens is not None:
        _drop_long(config, sources)
    for source, n in zip(sources, n_train, strict=True):
        source.report["left"] = len(source.train)
        need = 1 if n is None else n
        if need > len(source.train) * config.max_repeats:
            raise InputError(_too_few(source.name, need, source.report, config.max_repeats))
        known = source.train if len(source.train) else source.test
        if config.own_forms and len(known):
            source.rule, source.report["recognition"] = fit(known, source.test, config.own_forms, config.answer_style)
    return sources, dict(zip(sets[len(sets) - len(origins) :], origins, strict=True))


def unique_names(names: Iterable[str]) -> list[str]:
    """The names with duplicates numbered: the second `parity` becomes `parity (2)`."""
    given: list[str] = []
    for name in names:
        unique, number = name, 1
        while unique in given:
            number += 1
            unique = f"{name} ({number})"
        given.append(unique)
    return given


def shuffle(problems: list[Problem], seed: int) -> ProblemPool:
    """The problems in the seed's order. Removing some does not change the order of the rest."""
    order = sorted(problems, key=lambda p: hashlib.blake2b(f"{seed}/{p.id}".encode()).digest())
    return ProblemPool(len(order), order.__getitem__)


def _draw(name: str, source: Source, n_train: int | None, n_test: int, config: MixtureConfig) -> LoadedSource:
    """A source whose problems are generated."""
    if n_train is None:
        raise InputError(f"n_train is null, but {name} problems are generated; give a number")
    drawn = find_task(source.task).draw(config.seed, n_train, n_test, **source.options)
    pools = [_in_forms(pool, config) for pool in drawn]
    if config.own_forms:
        _drop_incomplete(name, dict(zip(("train", "test"), map(list, pools), strict=True)), config, may_drop=False)
    limit, fix = (CHECK_ALL, f"fix {source.task}") if is_own(source.task) else (SAMPLE, "please report this bug")
    _, gold = _check_golds(name, pools, limit, config, fix)
    return LoadedSource(name, *pools, {"drawn": n_train, "gold": gold})


def _read(name: str, source: Source, n_test: int, config: MixtureConfig) -> tuple[LoadedSource, Sequence[Problem]]:
    """A source of records, and its test problems including those with dropped golds: these must not leak either."""
    records = find_task(source.task).read(config.on_error, **source.options)
    complete, incomplete = _complete(name, records, config)
    correct, gold = _drop_wrong_golds(name, complete, config)
    loaded = _split(name, source, correct, n_test, config.seed)
    loaded.train, loaded.test = _in_forms(loaded.train, config), _in_forms(loaded.test, config)
    loaded.report |= {"gold": gold, **incomplete}
    return loaded, records.test or loaded.test


def _in_forms(pool: ProblemPool, config: MixtureConfig) -> ProblemPool:
    """The pool, writing own forms if the config has any."""
    return OwnFormPool(pool, config.own_forms) if config.own_forms else pool


def _complete(name: str, records: Records, config: MixtureConfig) -> tuple[Records, dict]:
    """The records that have every own form, and the report; an error for the others unless `missing_form: drop`."""
    if not config.own_forms:
        return records, {}
    splits = records.splits()
    kept, counts = _drop_incomplete(name, splits, config, may_drop=True)
    without = sum(map(len, splits.values())) - sum(map(len, kept.values()))
    return replace(records, **kept), {"missing_form": counts, "incomplete": without}


def _drop_incomplete(name: str, splits: dict, config: MixtureConfig, may_drop: bool) -> tuple[dict, dict[str, int]]:
    """The problems of each split that have every own form, and how many lack each form.

    Raises:
        InputError: from `check_texts`, and when some problems lack a form (unless `may_drop` and `missing_form: drop`).
    """
    problems = [problem for split in splits.values() for problem in split]
    check_texts(name, problems, config.own_forms)
    missing = {problem.id: found for problem in problems if (found := lacking(problem, config.own_forms))}
    if missing and not (may_drop and config.missing_form == "drop"):
        first = "; ".join(f"{id} ({', '.join(found)})" for id, found in list(missing.items())[:3])
        fix = "fill them in, or set `missing_form: drop`" if may_drop else "a generated problem must have every form"
        raise InputError(f"{name}: {len(missing)} of {len(problems)} problems lack a form: {first}", fix)
    counts = {form: sum(form in found for found in missing.values()) for form in config.own_forms}
    return {split: [p for p in chosen if p.id not in missing] for split, chosen in splits.items()}, counts


def _drop_wrong_golds(name: str, records: Records, config: MixtureConfig) -> tuple[Records, dict]:
    """The records without those whose gold completion is judged wrong, and the report; an error unless `on_error: drop`."""
    splits = records.splits()
    pools = [_in_forms(ProblemPool(len(problems), problems.__getitem__), config) for problems in splits.values()]
    fix = None if config.on_error == "drop" else "fix them, or set `on_error: drop`"
    wrong, report = _check_golds(name, pools, CHECK_ALL, config, fix)
    broken = dict(records.broken)
    for (split, problems), indices in zip(splits.items(), wrong, strict=True):
        splits[split] = [problem for i, problem in enumerate(problems) if i not in indices]
        broken[split] += len(indices)
    return replace(records, broken=broken, **splits), report


def _check_golds(name: str, pools: list[ProblemPool], limit: int, config: MixtureConfig, fix: str | None) -> tuple[list, dict]:
    """For each pool the indices of the problems with a wrong gold completion in some form, with the reason; and the report.

    `fix` ends the error message; None means that wrong golds are dropped. The long form is always checked: test rows use it.
    """
    forms = config.own_forms or dict.fromkeys(("long", *config.forms))
    checked = [golds.choose(len(pool), limit, SAMPLE) for pool in pools]
    wrong = [golds.find_wrong(pool, indices, forms, config.answer_style) for pool, indices in zip(pools, checked, strict=True)]
    reasons = {pool.problem(i).id: reason for pool, found in zip(pools, wrong, strict=True) for i, reason in found.items()}
    total = sum(map(len, checked))
    if reasons and fix:
        first = "; ".join(f"{id} ({why})" for id, why in list(reasons.items())[:3]) + ("; ..." if len(reasons) > 3 else "")
        if config.own_forms:
            fix = f'{fix}; every form must end in the answer, as `template: "{{steps}}\\n#### {{answer}}"` does'
        raise InputError(f"{name}: {len(reasons)} of {total} gold completions are not judged correct: {first}; {fix}")
    return wrong, {"checked": total, "wrong": list(reasons)}


def _split(name: str, source: Source, records: Records, n_test: int, seed: int) -> LoadedSource:
    """Splits the records of a source into train and test."""
    if records.train is None:
        fix = "to draw train and test from one file, give that file as the path"
        raise InputError(f"{name}: {source.options['path']} has no train split; {fix}")
    train = shuffle(records.train, seed)
    if records.test is None:
        if n_test >= len(train):
            fix = "reduce n_test" if len(train) > 1 else "add problems"
            broken = f" ({records.broken['train']} broken)" if records.broken["train"] else ""
            raise InputError(f"{name}: n_test is {n_test}, but train and test have only {len(train)} problems{broken}", fix)
        test = train.take(range(n_test))
        train = train.take(range(n_test, len(train)))
    else:
        if n_test > len(records.test):
            raise InputError(f"{name}: n_test is {n_test}, but its test split has only {len(records.test)}; reduce n_test")
        test = shuffle(records.test, seed).take(range(n_test))
    report = {"origin": records.origin, "problems": len(train), "broken": sum(records.broken.values())}
    return LoadedSource(name, train, test, report)


def _decontaminate(config: MixtureConfig, sources: list[LoadedSource], evaluation: dict, generated: dict) -> None:
    """Removes duplicates and overlaps with evaluation sets.

    If all problems are generated there are none, except between own tasks, which may yield the same problems as another source.
    `evaluation` and `generated` map the name of a set to its problems.
    """
    texts = {loaded.name: loaded for source, loaded in zip(config.sources, sources, strict=True) if source.is_text}
    if not evaluation and not (len(texts) > 1 and any(is_own(source.task) for source in config.sources)):
        return
    train = {name: loaded.train for name, loaded in texts.items()}
    kept, removed, other_answer = decontaminate(train, evaluation, config.ngram, generated)
    for name, loaded in texts.items():
        loaded.train = loaded.train.take(kept[name])
        if config.ngram is None:
            loaded.report["overlap"] = "only the same text is removed (ngram: null)"
        loaded.report["removed"] = [asdict(overlap) for overlap in removed[name]]
        loaded.report["same_text_other_answer"] = [asdict(overlap) for overlap in other_answer[name]]


def _drop_long(config: MixtureConfig, sources: list[LoadedSource]) -> None:
    """Keeps problems whose longest form is within `max_tokens`, so that the selection does not depend on the shares."""
    counter = LengthCounter(config.tokenizer)
    for source in sources:
        within = []
        for start in range(0, len(source.train), BATCH):
            indices = np.arange(start, min(start + BATCH, len(source.train)))
            longest = np.zeros(len(indices), dtype=int)
            for form in config.own_forms or ("long",):
                columns = as_prompts(source.train.columns(indices, form, config.answer_style), config)
                lengths = counter.rows(columns["prompt"].to_pylist(), columns["completion"].to_pylist())
                longest = np.maximum(longest, lengths)
            within.extend(indices[longest <= config.max_tokens].tolist())
        n = len(source.train)
        over = source.report["over_limit"] = n - len(within)
        if over and config.over_limit == "refuse":
            fix = "raise max_tokens, or set `over_limit: drop`"
            raise InputError(f"{source.name}: {over} of {n} problems are over {config.max_tokens} tokens; {fix}")
        if over:
            source.train = source.train.take(within)


def _count_overlaps(removed: list[dict], exact: bool) -> dict[str, int]:
    """The number of problems removed for each set they overlap with, by the criterion `text` or by the others."""
    return collections.Counter(overlap["where"] for overlap in removed if (overlap["reason"] == "text") == exact)


def _too_few(name: str, need: int, report: dict, repeats: int) -> str:
    left, removed = report["left"], report.get("removed", [])
    dropped = {
        "broken": report.get("broken"),
        **{f"the same text as in {where}": n for where, n in _count_overlaps(removed, exact=True).items()},
        **{f"similar to {where}": n for where, n in _count_overlaps(removed, exact=False).items()},
        "over the limit": report.get("over_limit"),
        "lacking a form": report.get("incomplete"),
    }
    why = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
    limit = f", each at most {repeats} times" if repeats > 1 else ""
    fix = f"reduce n_train to at most {left * repeats} rows of it, or set `max_repeats: {-(-need // max(left, 1))}`"
    fix = fix if left else "add problems to it, or remove it"
    if "drawn" in report:  # fewer would be drawn, too
        fix = "its problems overlap with those of an evaluation set: let the task yield others"
    if _count_overlaps(removed, exact=False):
        fix += "; `ngram: null` keeps problems that are only similar"
    return f"{name}: {need} rows needed, the source has {left}{f' ({why})' if why else ''}{limit}; {fix}"
