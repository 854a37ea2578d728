"""Parses a mixture's YAML into a validated `MixtureConfig`, before any data is loaded or written."""

import json
from dataclasses import dataclass, field, fields
from typing import Any

from data_mix.errors import InputError, nearest
from data_mix.forms import ANSWER_STYLES, check_form
from data_mix.mapping import read_mapping
from data_mix.own_forms import OwnForm, drop_shares, parse_forms, split_forms
from data_mix.tasks import find_task, is_generated, options_of
from data_mix.values import check_json, check_text, number
from rewards.own_code import is_own

TEXT_OPTIONS = ("path", "revision", "name", "config", "question", "solution", "steps", "answer")  # options of a source
CHOICES = {
    "prompt_format": (None, "plain", "chat"),
    "answer_style": (None, *ANSWER_STYLES),
    "unit": ("rows", "tokens"),
    "over_limit": ("refuse", "drop"),
    "on_error": ("refuse", "drop"),
    "missing_form": ("refuse", "drop"),
}


@dataclass(frozen=True)
class Source:
    """One source: a task, its share of the rows, and the task's options."""

    task: str
    share: float
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name in rows and manifest: the option `name`, otherwise the task, or the file of an own task."""
        return self.options.get("name") or (find_task(self.task).name if is_own(self.task) else self.task)

    @property
    def generated(self) -> bool:
        """Whether the problems are generated rather than read from records."""
        return is_generated(find_task(self.task))

    @property
    def is_text(self) -> bool:
        """Whether the problems are natural language, which can overlap, rather than symbols."""
        return find_task(self.task).PROMPT_FORMAT == "chat"


@dataclass(frozen=True)
class MixtureConfig:
    """A validated mixture config.

    Attributes:
        sources: the sources; their shares sum to 1.
        forms: form -> share, in the order in which problems are assigned to forms; shares sum to 1.
        n_train: number of training rows; None: every problem of a single source.
        n_test: number of test rows.
        seed: determines the problems, their order and their forms.
        unit: what shares refer to: `rows` (exact), or `tokens` of completions (to 0.5 points; needs a tokenizer).
        max_repeats: maximum number of rows per problem; every problem is used once before any is repeated.
        prompt_format: `plain` (strings) or `chat` (message lists); None: the default of the first source's task.
        system: system message of chat prompts.
        prompt_template: text around the problem, containing `{prompt}`.
        answer_style: gsm8k (`#### 42`) or boxed, read back by the verifier; None: each task's default.
        tokenizer: measures the lengths in the manifest; None: lengths are in characters.
        max_tokens: limit of a prompt with its longest completion, in tokens; needs a tokenizer.
        over_limit: problems beyond `max_tokens` raise an error (refuse) or are dropped (drop).
        on_error: broken records raise an error (refuse) or are dropped (drop).
        against: evaluation sets (sources without a share) to decontaminate train against, besides the sources' own test sets.
        own_forms: form -> where its text comes from, if the forms are user-defined; the keys of `forms`, in their order.
        missing_form: problems that lack one of the own forms raise an error or are dropped.
        ngram: length in words of a shared sequence that counts as overlap; None: only the same text counts.
    """

    sources: tuple[Source, ...]
    forms: dict[str, float]
    n_train: int | None
    n_test: int
    seed: int = 0
    unit: str = "rows"
    max_repeats: int = 1
    prompt_format: str | None = None
    system: str | None = None
    prompt_template: str | None = None
    answer_style: str | None = None
    tokenizer: str | None = None
    max_tokens: int | None = None
    over_limit: str = "refuse"
    on_error: str = "refuse"
    against: tuple[Source, ...] = ()
    ngram: int | None = 13
    own_forms: dict[str, OwnForm] = field(default_factory=dict)
    missing_form: str = "refuse"

    @property
    def chat(self) -> bool:
        """Whether prompts and completions are message lists."""
        return (self.prompt_format or find_task(self.sources[0].task).PROMPT_FORMAT) == "chat"

    @property
    def reference_form(self) -> str:
        """The form of the test rows: `long`, or the first own form if none is called that."""
        return next(iter(self.own_forms)) if self.own_forms and "long" not in self.own_forms else "long"


def _check_shares(shares: list[float], what: str) -> None:
    if abs(sum(shares) - 1) > 1e-9:
        terms = " + ".join(f"{share:g}" for share in shares)
        raise InputError(f"shares of {what} sum to {sum(shares):g} ({terms}); they must sum to 1")


def _source(raw: Any, where: str) -> Source:
    if not isinstance(raw, dict) or "task" not in raw:
        raise InputError(f"{where}: field 'task' is missing; write `task: NAME`")
    known = options_of(find_task(raw["task"]))
    options = {key: value for key, value in raw.items() if key not in ("task", "share")}
    for key in options:
        if key not in known:
            raise InputError(f"{where} ({raw['task']}): unknown field '{key}'{nearest(key, [*known, 'share'])}")
    for key, required in known.items():
        if required and key not in options:
            raise InputError(f"{where} ({raw['task']}): field '{key}' is missing; add it")
    for key, value in options.items():
        if is_own(raw["task"]) and key != "name":
            check_json(value, f"{where}.{key}")
            continue
        required = known[key] or key == "path"
        if key in TEXT_OPTIONS and (required or value is not None):
            check_text(value, f"{where}.{key}")
        if key == "calculator" and not isinstance(value, bool) and value != "only":
            raise InputError(f"{where}.{key} is {value!r}; it must be true, false or only")
    return Source(raw["task"], number(raw.get("share", 1), f"{where}.share", 0, 1), options)


def _sources(raw: Any) -> tuple[Source, ...]:
    if not isinstance(raw, list) or not raw:
        raise InputError("sources must be a list with at least one `- task: NAME`")
    sources = tuple(_source(s, f"sources[{i}]") for i, s in enumerate(raw))
    _check_shares([s.share for s in sources], "sources")
    for i, source in enumerate(sources):
        # Symbolic problems of different sizes are different problems; two text sources could contain the same ones.
        same = [s for s in sources[:i] if s.name == source.name and (s.is_text or s.options == source.options)]
        if same:
            fix = "give it a `name` of its own" if is_own(source.task) else "list each source once"
            raise InputError(f"sources[{i}]: duplicate source '{source.name}'; {fix}")
    return sources


def _against(raw: Any) -> tuple[Source, ...]:
    if not isinstance(raw, (list, tuple)):
        raise InputError("against must be a list of evaluation sets, e.g. `- {task: math, path: ...}`")
    sources = tuple(_source(s, f"against[{i}]") for i, s in enumerate(raw))
    for i, source in enumerate(sources):
        if source.generated:
            raise InputError(f"against[{i}]: {source.task} is generated; an evaluation set must consist of records")
        if "share" in raw[i]:
            raise InputError(f"against[{i}].share is given; an evaluation set has no rows in the mixture, so remove it")
    return sources


def parse_config(raw: dict[str, Any]) -> MixtureConfig:
    """Validates the mapping read from YAML. `p_cot: 0.25` is short for `forms: {long: 0.25, short: 0.75}`.

    Raises:
        InputError: with the field, its value and what is allowed.
    """
    raw = split_forms(raw)
    known = {f.name for f in fields(MixtureConfig)} | {"p_cot"}
    for key in raw:
        if key not in known:
            raise InputError(f"unknown field '{key}'{nearest(key, known)}")
    for key in ("sources", "n_train", "n_test"):
        if key not in raw:
            raise InputError(f"field '{key}' is missing; add it")
    if (raw.get("p_cot") is None) == (raw.get("forms") is None):
        raise InputError("give either p_cot (share of long rows) or forms (form: share)")
    if raw.get("forms") is None:
        p_cot = number(raw["p_cot"], "p_cot", 0, 1)
        forms = {"long": p_cot, "short": 1 - p_cot}
    else:
        if not isinstance(raw["forms"], dict) or not raw["forms"]:
            raise InputError("forms must map each form to its share, e.g. {long: 0.25, short: 0.75}")
        forms = {form: number(share, f"forms.{form}", 0, 1) for form, share in raw["forms"].items()}
    own_forms = parse_forms(raw["own_forms"], forms) if raw.get("own_forms") else {}
    for form in forms if not own_forms else ():
        check_form(form)
    _check_shares(list(forms.values()), "forms")
    sources = _sources(raw["sources"])
    if raw["n_train"] is None and (len(sources) > 1 or raw.get("unit") == "tokens"):
        raise InputError("n_train is null; with more than one source, or with `unit: tokens`, it must be a number")
    for key in ("n_train", "max_tokens"):
        if raw.get(key) is not None:
            number(raw[key], key, 1, integer=True)
    for key, low in (("n_test", 1), ("seed", 0), ("max_repeats", 1)):
        number(raw.get(key, low), key, low, integer=True)
    if raw.get("ngram") is not None:
        number(raw["ngram"], "ngram", 2, integer=True)
    for key, allowed in CHOICES.items():
        if key in raw and raw[key] not in allowed:
            raise InputError(f"{key} is '{raw[key]}'; it must be one of {', '.join(filter(None, allowed))}")
    for key in ("system", "prompt_template", "tokenizer"):
        if raw.get(key) is not None:
            check_text(raw[key], key, lines=key != "tokenizer")
    if raw.get("tokenizer") is None and (raw.get("unit") == "tokens" or raw.get("max_tokens") is not None):
        raise InputError("tokenizer must be given; `unit: tokens` and `max_tokens` need it to count tokens")
    if (raw.get("prompt_template") or "{prompt}").count("{prompt}") != 1:
        raise InputError(f"prompt_template is {raw['prompt_template']!r}; it must contain {{prompt}} once")
    rest = {key: value for key, value in raw.items() if key not in ("p_cot", "forms", "own_forms", "sources", "against")}
    config = MixtureConfig(sources=sources, forms=forms, own_forms=own_forms, against=_against(raw.get("against", [])), **rest)
    if own_forms and not all(source.is_text for source in sources):
        task = next(source.task for source in sources if not source.is_text)
        raise InputError(f"forms: {task} has forms of its own; own forms need word problems, with answers as in GSM8K or MATH")
    if "missing_form" in raw and not own_forms:
        raise InputError("missing_form is set, but every problem has the built-in forms; remove it")
    if config.system and not config.chat:
        raise InputError("system is set, but prompts are plain text, which has no system message; set `prompt_format: chat`")
    if config.answer_style and not any(source.is_text for source in sources):
        names = ", ".join(source.name for source in sources)
        raise InputError(f"answer_style is '{config.answer_style}', but {names} has a style of its own; remove answer_style")
    return config


def raw_config(config: MixtureConfig) -> dict[str, Any]:
    """The inverse of `parse_config`: the mapping stored in the manifest."""

    def flat(source: Source) -> dict:
        return {"task": source.task, **source.options}

    raw = {f.name: getattr(config, f.name) for f in fields(MixtureConfig)}
    raw["sources"] = [{**flat(source), "share": source.share} for source in config.sources]
    raw["against"] = [flat(source) for source in config.against]
    raw["own_forms"] = {name: form.raw for name, form in config.own_forms.items()}
    if not config.own_forms:
        del raw["own_forms"], raw["missing_form"]
    return raw


def load_config(path: str, overrides: list[str] = ()) -> MixtureConfig:
    """Reads a YAML config. Each override is `key=value` with a YAML value; keys may be nested: `sources.0.d=25`.

    Raises:
        InputError: for a broken file, an invalid override or an invalid field. It names the file, and the overrides if any.
    """
    raw = read_mapping(path)
    given = [override.partition("=")[0] for override in overrides]
    for key, override in zip(given, overrides, strict=True):
        if given.count(key) > 1:
            raise InputError(f"--set {key} is given twice; remove one of the two")
        _override(raw, override)
    try:
        return parse_config(raw)
    except InputError as error:
        where = f"{path} with --set {' '.join(overrides)}" if overrides else path
        raise InputError(f"{where}: {error}") from None


def _override(raw: dict, override: str) -> None:
    import yaml

    name, equals, text = override.partition("=")
    if not equals:
        raise InputError(f"--set {override}: no value; write key=value")
    try:
        value = json.loads(text)  # YAML 1.1 reads 1e-5 as a string, and an escaped surrogate pair as two characters
    except (ValueError, RecursionError):
        value = None
    try:
        value = yaml.safe_load(text) if value is None else value
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"--set {override[:100]}: not YAML ({' '.join(str(error).split())[:200]})") from None
    keys, parent = name.split("."), raw
    try:
        for key in keys[:-1]:
            parent = parent[int(key) if isinstance(parent, list) else key]
        parent[int(keys[-1]) if isinstance(parent, list) else keys[-1]] = value
    except (KeyError, IndexError, ValueError, TypeError):
        raise InputError(f"--set {name}: no such field; give an existing one, e.g. sources.0.d=25") from None
    if keys == ["p_cot"]:
        drop_shares(raw)
