"""A user-defined task: a Python function `problems(seed, count, ...)` that yields problems, named in the mixture's YAML:

- {task: my_task.py:problems, share: 0.5, largest: 20}

It yields at least `count` problems in random order, as dicts with `prompt`, `steps`, `answer` and optionally `meta`, or as
Problems. Its further parameters are the options of the source. The same seed must give the same first problems whatever the
count: the first ones become the test set, so mixtures of different sizes are nested. A prompt that repeats is skipped.
"""

import hashlib
import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass

from data_mix import own_code
from data_mix.errors import InputError, nearest
from data_mix.forms import ANSWER_STYLES, write_completion
from data_mix.problem import Problem, ProblemPool
from data_mix.reading import text_field

FIELDS = ("prompt", "steps", "answer", "meta")
STYLES = (*ANSWER_STYLES, "parity", "multiplication")
RESERVED = ("long", "forms")  # keys of meta with a meaning of their own
COMPARED = 20  # problems drawn twice


def _digest(prompt: str) -> str:
    """Part of a problem's id, so that the same id is the same problem with any seed."""
    return hashlib.blake2b(prompt.encode(), digest_size=8).hexdigest()


class OwnTask:
    """What a task module is for a built-in task."""

    PROMPT_FORMAT = "chat"

    def __init__(self, spec: str) -> None:
        self.spec, self.function, self.file = spec, own_code.load(spec), own_code.find_file(spec)
        self.options = self._options()

    @property
    def name(self) -> str:
        """The name in rows and manifest unless the source has a `name`: that of the file."""
        return self.file.stem

    def _options(self) -> dict[str, bool]:
        """The function's options; True for required ones. `name` is an option of every own task."""
        parameters = list(inspect.signature(self.function).parameters.values())
        if [p.name for p in parameters[:2]] != ["seed", "count"]:
            raise InputError(f"{self.spec}: its parameters must begin with (seed, count)")
        options = {"name": False}
        for p in parameters[2:]:
            if p.kind not in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
                raise InputError(f"{self.spec}: its parameter {p} hides the options; give each one a name")
            if p.name in ("task", "share", "name"):
                raise InputError(f"{self.spec}: every source has a field `{p.name}`; give the parameter another name")
            options[p.name] = p.default is p.empty
        return options

    def draw(self, seed: int, n_train: int, n_test: int, *, name: str | None = None, **options):
        """The pools of train and test problems, with distinct prompts, test first.

        Raises:
            InputError: for an exception or a wrong field, with file and line; for too few problems; and when the function is
                not deterministic.
        """
        n, count = n_test + n_train, n_test + n_train
        if n == 0:  # a share can round to no rows
            return (ProblemPool(0, [].__getitem__),) * 2
        while True:
            problems, yielded = self._distinct(seed, count, n, options)
            if len(problems) == n:
                break
            if yielded < count or count > 100 * n:  # it has no more, or repeats itself
                found = f"{len(problems)} problems with distinct prompts among {yielded}"
                raise InputError(
                    f"{self.spec}: n_train + n_test is {n}, but it yields only {found}; reduce n_train, or extend it"
                )
            count *= 2
        again, _ = self._distinct(seed, min(n, COMPARED), min(n, COMPARED), options)
        for i, (one, two) in enumerate(zip(problems, again, strict=False)):
            if one != two:
                fix = "draw all randomness from random.Random(seed), and nothing from count"
                raise InputError(f"{self.spec}: problem {i + 1} differs when it is drawn again with another count", fix)
        name = name or self.name
        splits = {"test": problems[:n_test], "train": problems[n_test:]}
        made = {
            split: [drawn.problem(f"{name}/{split}/{_digest(drawn.prompt)}", name) for drawn in chosen]
            for split, chosen in splits.items()
        }
        return tuple(ProblemPool(len(made[split]), made[split].__getitem__) for split in ("train", "test"))

    def _distinct(self, seed: int, count: int, n: int, options: dict) -> tuple[list["Drawn"], int]:
        """The first `n` problems with distinct prompts of at most 2 * `count`, and how many were looked at."""
        problems, yielded = {}, 0
        for yielded, drawn in enumerate(self._drawn(seed, count, options), 1):
            problems.setdefault(drawn.prompt, drawn)
            if len(problems) == n or yielded == 2 * count:
                break
        return list(problems.values()), yielded

    def _drawn(self, seed: int, count: int, options: dict) -> Iterator["Drawn"]:
        line = getattr(getattr(self.function, "__code__", None), "co_firstlineno", 1)
        try:
            items = iter(self.function(seed, count, **options))
        except Exception as error:
            raise InputError(own_code.located(error, self.file), f"fix {self.file}") from None
        while True:
            try:
                item = next(items)
            except StopIteration:
                return
            except Exception as error:
                raise InputError(own_code.located(error, self.file), f"fix {self.file}") from None
            if getattr(items, "gi_frame", None):
                line = items.gi_frame.f_lineno  # of the yield
            try:
                yield Drawn.read(item)
            except InputError as error:
                raise InputError(f"{self.file}:{line}: {error}", f"a problem has the fields {', '.join(FIELDS)}") from None


@dataclass(frozen=True)
class Drawn:
    """A problem without id and source."""

    prompt: str
    steps: tuple[str, ...]
    answer: str
    meta: dict

    def problem(self, id: str, source: str) -> Problem:
        """The problem with its id and source."""
        return Problem(id, source, self.prompt, self.steps, self.answer, self.meta, self.meta)

    @classmethod
    def read(cls, item: dict | Problem) -> "Drawn":
        """Checks what the function yielded. `meta` always gets a `style`, and `long` if that style has an exact chain.

        Raises:
            InputError: for a missing, unknown or wrong field.
        """
        if isinstance(item, Problem):
            item = {field: getattr(item, field) for field in FIELDS}
        if not isinstance(item, dict):
            raise InputError(f"{str(item)[:40]!r} is {type(item).__name__}, not a dict or Problem")
        for key in item:
            if key not in FIELDS:
                raise InputError(f"unknown field '{key}'{nearest(str(key), FIELDS)}")
        steps = item.get("steps")
        if not isinstance(steps, list | tuple) or not steps:
            raise InputError(f"`steps` is {steps!r:.40}, not a list of texts" if "steps" in item else "no `steps`")
        steps = tuple(text_field({"steps": step}, "steps") for step in steps)
        answer = " ".join(text_field(item, "answer", number=True).split())
        meta = item.get("meta", {})
        if not isinstance(meta, dict):
            raise InputError(f"`meta` is {type(meta).__name__}, not a dict")
        for key in RESERVED:
            if key in meta:
                raise InputError(f"`meta` has the key '{key}', which cotmix sets itself")
        try:
            json.dumps(meta)
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"`meta` is not JSON ({str(error)[:80]})") from None
        style = meta.get("style", "gsm8k")
        if style not in STYLES:
            raise InputError(f"`meta` has the style {style!r}; it must be one of {', '.join(STYLES)}")
        chain = {} if style in ANSWER_STYLES else {"long": write_completion(steps, answer, style, "long")}
        return cls(text_field(item, "prompt"), steps, answer, {**meta, **chain, "style": style})
