"""User-defined forms: texts from a column, a template or a function, instead of the bare answer and the source's steps.

forms:
  short: {column: solution, share: 0.75}
  long: {template: "<think>{trace}</think>\\n#### {answer}", share: 0.25, marker: "<think>"}

`{}` is the answer alone in the answer style. A problem without a text in some form lacks it (`missing_form`).
"""

import functools
import math
import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from data_mix import own_code
from data_mix.errors import InputError, nearest
from data_mix.forms import ANSWER_STYLES, write_completion
from data_mix.problem import Problem, ProblemPool
from data_mix.reading import text_field
from rewards.scorer import OUTCOMES

TEXTS = ("column", "template", "function")
KEYS = (*TEXTS, "marker")
COMPARED = 20  # problems for which a function is called twice
OF_PROBLEM = ("steps", "answer")  # names that every template may use
_NAME = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)
_RESERVED = (*OUTCOMES, "other", "mean", "median")  # metrics of these names exist


@dataclass(frozen=True)
class OwnForm:
    """Where a form's text comes from: at most one of column, template and function; and what marks it in a completion."""

    name: str
    column: str | None = None
    template: str | None = None
    function: str | None = None
    marker: str | None = None

    @property
    def raw(self) -> dict[str, str]:
        """The fields that are given, as in YAML."""
        return {key: getattr(self, key) for key in KEYS if getattr(self, key) is not None}

    @property
    def columns(self) -> set[str]:
        """The columns of the record that the text needs."""
        if self.column:
            return {self.column}
        return {name for _, name in _parts(self.template or "") if name} - set(OF_PROBLEM)

    @functools.cached_property
    def _function(self) -> Callable[[Problem], str | None]:
        return own_code.load(self.function)

    def write(self, problem: Problem) -> str | None:
        """The problem as a completion in this form; None if it lacks the form.

        Raises:
            InputError: for a column of another type than text, or an exception in the function.
        """
        style = problem.meta["style"]
        if style not in ANSWER_STYLES:
            raise InputError(f"own forms need an answer style of {' or '.join(ANSWER_STYLES)}; {problem.source} has '{style}'")
        if self.function:
            return self._call(problem)
        try:
            if self.column:
                return _cell(problem.record, self.column)
            if self.template:
                values = {"steps": "\n".join(problem.steps), "answer": problem.answer}
                values |= {name: _cell(problem.record, name) for name in self.columns}
                if None in values.values():
                    return None
                texts = [literal + (values[name] if name else "") for literal, name in _parts(self.template)]
                return "".join(texts).strip() or None
        except InputError as error:
            raise InputError(f"{problem.id}: form {self.name}: {error}") from None
        return write_completion(problem.steps, problem.answer, style, "short")

    def _call(self, problem: Problem) -> str | None:
        try:
            text = self._function(problem)
        except Exception as error:
            file = own_code.find_file(self.function)
            raise InputError(f"{own_code.located(error, file)} (for problem {problem.id})", f"fix {file}") from None
        if text is not None and not isinstance(text, str):
            raise InputError(f"{self.function} returned {type(text).__name__} for problem {problem.id}; return a text or None")
        return (text or "").strip() or None


class OwnFormPool(ProblemPool):
    """The problems of a pool, written in user-defined forms."""

    def __init__(self, pool: ProblemPool, forms: dict[str, OwnForm]) -> None:
        super().__init__(pool.n, pool.problem)
        self.forms = forms

    def write(self, problem: Problem, form: str) -> str:
        """The problem as a completion in `form`."""
        return self.forms[form].write(problem)


def split_forms(raw: dict[str, Any]) -> dict[str, Any]:
    """The mapping read from YAML with own forms apart: their shares in `forms`, the rest in `own_forms`.

    Without shares, `forms` is None and `p_cot` gives them.

    Raises:
        InputError: when only some forms have texts or shares of their own.
    """
    forms = raw.get("forms")
    if not isinstance(forms, dict) or not any(isinstance(form, dict) for form in forms.values()):
        return raw
    for name, form in forms.items():
        if not isinstance(form, dict):
            example = f"{name}: {{column: solution, share: {form}}}"
            raise InputError(f"forms.{name} is {form!r}, but other forms say where their text comes from", f"write {example}")
    shares = {name: form["share"] for name, form in forms.items() if "share" in form}
    without = [name for name in forms if name not in shares]
    if without and (shares or raw.get("p_cot") is None or sorted(forms) != ["long", "short"]):
        fix = "give every form a share, or leave all out and give p_cot if the forms are short and long"
        raise InputError(f"forms.{without[0]} has no share", fix)
    own = {name: {key: value for key, value in form.items() if key != "share"} for name, form in forms.items()}
    return {**raw, "forms": shares or None, "own_forms": own}


def drop_shares(raw: dict[str, Any]) -> None:
    """Makes room for a new `p_cot` in the mapping read from YAML: removes the shares of own forms, or the built-in forms."""
    forms = raw.get("forms")
    if isinstance(forms, dict) and any(isinstance(form, dict) for form in forms.values()):
        for form in forms.values():
            if isinstance(form, dict):
                form.pop("share", None)
    else:
        raw.pop("forms", None)


def parse_forms(raw: Any, shares: dict[str, float]) -> dict[str, OwnForm]:
    """Validates `own_forms`, which must be those of `shares`.

    Raises:
        InputError: with the form, the field, its value and what is allowed.
    """
    if not isinstance(raw, dict) or sorted(map(str, raw)) != sorted(map(str, shares)):
        raise InputError(f"own_forms is {raw!r}; give the texts inside forms, e.g. `forms: {{short: {{column: solution}}}}`")
    forms = {name: _parse_form(name, raw[name]) for name in shares}
    marked = [form for form in forms.values() if form.marker]
    for i, form in enumerate(marked):
        for other in marked[:i]:
            if form.marker == other.marker:
                raise InputError(f"forms.{form.name}.marker is also that of {other.name}; a marker must occur in one form only")
    return forms


def check_texts(name: str, problems: list[Problem], forms: dict[str, OwnForm]) -> None:
    """Checks that the problems of the source `name` can be written in the forms.

    Raises:
        InputError: when no problem has a column that a form needs, or a function does not return the same text again.
    """
    known = dict.fromkeys(key for problem in problems for key in problem.record)
    for form in forms.values():
        for column in sorted(form.columns - known.keys()):
            field = "column" if form.column else "template"
            names = [*known, *OF_PROBLEM] if field == "template" else list(known)
            has = f"{name} has {', '.join(map(str, names))}"
            raise InputError(f"forms.{form.name}.{field}: no column '{column}'{nearest(column, map(str, names))}; {has}")
        for problem in problems[:COMPARED] if form.function else ():
            if form.write(problem) != form.write(problem):
                raise InputError(f"{form.function} returns another text for problem {problem.id} when it is called again")


def lacking(problem: Problem, forms: dict[str, OwnForm]) -> list[str]:
    """The forms that the problem lacks."""
    return [name for name, form in forms.items() if form.write(problem) is None]


def _parse_form(name: str, raw: Any) -> OwnForm:
    where = f"forms.{name}"
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _RESERVED:
        fix = f"use letters, digits and hyphens, and none of {', '.join(_RESERVED)}"
        raise InputError(f"forms: '{name}' cannot be the name of a form", fix)
    for key, value in raw.items():
        if key not in KEYS:
            raise InputError(f"{where}: unknown field '{key}'{nearest(str(key), (*KEYS, 'share'))}")
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{where}.{key} is {value!r}; it must be a text")
    given = [key for key in TEXTS if key in raw]
    if len(given) > 1:
        raise InputError(f"{where} has {' and '.join(given)}; give one of them")
    if "template" in raw:
        _check_template(f"{where}.template", raw["template"])
    if "function" in raw:
        own_code.load(raw["function"])
    return OwnForm(name, **raw)


def _check_template(where: str, template: str) -> None:
    try:
        fields = [field for field in string.Formatter().parse(template) if field[1] is not None]
    except ValueError as error:
        raise InputError(f"{where}: {error}; a brace that is part of the text is written twice: {{{{") from None
    if not fields:
        raise InputError(f"{where} is {template!r}; it must contain {{steps}}, {{answer}} or the name of a column in braces")
    for _, name, spec, conversion in fields:
        if not name or spec or conversion or re.search(r"[.\[]", name):
            shown = f"{{{name}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}}}"
            raise InputError(
                f"{where}: {shown} is not the name of a column", "a brace that is part of the text is written twice: {{"
            )


def _parts(template: str) -> list[tuple[str, str | None]]:
    """The template as pairs of a text and the name that follows it, None at the end."""
    return [(literal, name) for literal, name, _, _ in string.Formatter().parse(template)]


def _cell(record: dict, column: str) -> str | None:
    """The text in a column of a record, or its list of texts as lines; None for an empty cell."""
    value = record.get(column)
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        value = "\n".join(value)
    if value is None or (isinstance(value, float) and math.isnan(value)) or (isinstance(value, str) and not value.strip()):
        return None
    return text_field({column: value}, column, number=not isinstance(value, str))
