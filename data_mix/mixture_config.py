"""A mixture's config: YAML to a checked `MixtureConfig`. Nothing is loaded or written before it has passed."""

from dataclasses import dataclass, field, fields
from typing import Any

from data_mix.errors import InputError, nearest
from data_mix.forms import ANSWER_STYLES, check_form
from data_mix.mapping import read_mapping
from data_mix.tasks import find_task, is_generated, options_of

TEXTS = ("path", "revision", "name", "config", "question", "solution", "steps", "answer")  # options of a source
CHOICES = {
    "prompt_format": (None, "plain", "chat"),
    "answer_style": (None, *ANSWER_STYLES),
    "unit": ("rows", "tokens"),
    "over_limit": ("refuse", "drop"),
    "on_error": ("refuse", "drop"),
}


@dataclass(frozen=True)
class Source:
    """One source: a task, its share of the rows, and the task's own options."""

    task: str
    share: float
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What rows and manifest call it: the task, or a user's own name for his records."""
        return self.options.get("name", self.task)

    @property
    def generated(self) -> bool:
        """Whether its problems are generated rather than records."""
        return is_generated(find_task(self.task))

    @property
    def in_words(self) -> bool:
        """Whether its problems are text, which can overlap, rather than symbols."""
        return find_task(self.task).PROMPT_FORMAT == "chat"


@dataclass(frozen=True)
class MixtureConfig:
    """What a mixture is made of.

    Attributes:
        sources: at shares that sum to 1.
        forms: form to share, in the order in which problems are given to forms; shares sum to 1.
        n_train, n_test: rows; None for n_train is every problem of a single source.
        seed: chooses problems, their order and their forms.
        unit: what the shares count: `rows`, exactly, or `tokens` of completions, to 0.5 points (then a tokenizer is needed).
        max_repeats: how many rows one problem may have; all problems are used before any is used again.
        prompt_format: `plain` (strings) or `chat` (message lists); None is the first source's own.
        system: system message of chat prompts; None for none.
        prompt_template: text with `{prompt}` in it, around the problem.
        answer_style: gsm8k (`#### 42`) or boxed, which the verifier reads too; None is each task's own.
        tokenizer: counts lengths in the manifest; None counts characters.
        max_tokens, over_limit: problems whose row in long form has more tokens are refused or dropped; None is no limit.
        on_error: broken records are refused or dropped.
        against: evaluation sets (sources without a share) that train must not overlap, beside the sources' own test sets.
        ngram: how many words in a row are an overlap.
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
    ngram: int = 13

    @property
    def chat(self) -> bool:
        """Whether prompts and completions are message lists."""
        return (self.prompt_format or find_task(self.sources[0].task).PROMPT_FORMAT) == "chat"


def _number(value: Any, what: str, low: float, high: float = float("inf"), whole: bool = False) -> Any:
    kind = "a whole number" if whole else "a number"
    good = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not good or not low <= value <= high:
        limits = f"from {low} to {high}" if high < float("inf") else f"of at least {low}"
        raise InputError(f"{what} is {value!r}; it must be {kind} {limits}")
    return value


def _shares(shares: list[float], what: str) -> None:
    if abs(sum(shares) - 1) > 1e-9:
        terms = " + ".join(f"{share:g}" for share in shares)
        raise InputError(f"shares of {what} sum to {sum(shares):g} ({terms}); they must sum to 1")


def _source(raw: Any, where: str) -> Source:
    if not isinstance(raw, dict) or "task" not in raw:
        raise InputError(f"{where} needs at least `task: NAME`")
    known = options_of(find_task(raw["task"]))
    options = {key: value for key, value in raw.items() if key not in ("task", "share")}
    for key in options:
        if key not in known:
            raise InputError(f"{where} ({raw['task']}): unknown field '{key}'{nearest(key, [*known, 'share'])}")
    for key, needed in known.items():
        if needed and key not in options:
            raise InputError(f"{where} ({raw['task']}): field '{key}' is missing")
    for key, value in options.items():
        needed = known[key] or key == "path"
        if key in TEXTS and not isinstance(value, str) and (needed or value is not None):
            raise InputError(f"{where}.{key} is {value!r}; it must be text")
    return Source(raw["task"], _number(raw.get("share", 1), f"{where}.share", 0, 1), options)


def _sources(raw: Any) -> tuple[Source, ...]:
    if not isinstance(raw, list) or not raw:
        raise InputError("sources must be a list with at least one `- task: NAME`")
    sources = tuple(_source(s, f"sources[{i}]") for i, s in enumerate(raw))
    _shares([s.share for s in sources], "sources")
    for i, source in enumerate(sources):
        # Problems in symbols of another size are other problems; two sources in words might give the same ones.
        same = [s for s in sources[:i] if s.name == source.name and (s.in_words or s.options == source.options)]
        if same:
            raise InputError(f"sources[{i}]: '{source.name}' is there already; name each source once")
    return sources


def _against(raw: Any) -> tuple[Source, ...]:
    if not isinstance(raw, (list, tuple)):
        raise InputError("against must be a list of evaluation sets, each `- {task: NAME, path: ...}`")
    sources = tuple(_source(s, f"against[{i}]") for i, s in enumerate(raw))
    for i, source in enumerate(sources):
        if source.generated:
            raise InputError(f"against[{i}]: {source.task} is generated; an evaluation set has records")
    return sources


def parse_config(raw: dict[str, Any]) -> MixtureConfig:
    """A checked config from YAML's mapping. `p_cot: 0.25` stands for `forms: {long: 0.25, short: 0.75}`.

    Raises:
        InputError: with the field, its value and what it must be.
    """
    known = {f.name for f in fields(MixtureConfig)} | {"p_cot"}
    for key in raw:
        if key not in known:
            raise InputError(f"unknown field '{key}'{nearest(key, known)}")
    for key in ("sources", "n_train", "n_test"):
        if key not in raw:
            raise InputError(f"field '{key}' is missing")
    if (raw.get("p_cot") is None) == (raw.get("forms") is None):
        raise InputError("give either p_cot (share of long rows) or forms (form: share)")
    if raw.get("forms") is None:
        p_cot = _number(raw["p_cot"], "p_cot", 0, 1)
        forms = {"long": p_cot, "short": 1 - p_cot}
    else:
        if not isinstance(raw["forms"], dict) or not raw["forms"]:
            raise InputError("forms must map each form to its share, e.g. {long: 0.25, short: 0.75}")
        forms = {form: _number(share, f"forms.{form}", 0, 1) for form, share in raw["forms"].items()}
    for form in forms:
        check_form(form)
    _shares(list(forms.values()), "forms")
    sources = _sources(raw["sources"])
    if raw["n_train"] is None and (len(sources) > 1 or raw.get("unit") == "tokens"):
        raise InputError("n_train must be a number when there is more than one source, or when the unit is tokens")
    if raw["n_train"] is not None:
        _number(raw["n_train"], "n_train", 1, whole=True)
    for key, least in (("n_test", 1), ("seed", 0), ("max_repeats", 1), ("ngram", 2)):
        _number(raw.get(key, least), key, least, whole=True)
    if raw.get("max_tokens") is not None:
        _number(raw["max_tokens"], "max_tokens", 1, whole=True)
    for key, allowed in CHOICES.items():
        if key in raw and raw[key] not in allowed:
            raise InputError(f"{key} is '{raw[key]}'; it must be one of {', '.join(filter(None, allowed))}")
    if raw.get("tokenizer") is None and (raw.get("unit") == "tokens" or raw.get("max_tokens") is not None):
        raise InputError("tokenizer must be given: `unit: tokens` and `max_tokens` count with it")
    if (raw.get("prompt_template") or "{prompt}").count("{prompt}") != 1:
        raise InputError(f"prompt_template {raw['prompt_template']!r} must contain {{prompt}} once")
    rest = {key: value for key, value in raw.items() if key not in ("p_cot", "forms", "sources", "against")}
    return MixtureConfig(sources=sources, forms=forms, against=_against(raw.get("against", [])), **rest)


def raw_config(config: MixtureConfig) -> dict[str, Any]:
    """The mapping that `parse_config` reads back to the same config; the manifest holds it."""

    def flat(source: Source) -> dict:
        return {"task": source.task, **source.options}

    raw = {f.name: getattr(config, f.name) for f in fields(MixtureConfig)}
    raw["sources"] = [{**flat(source), "share": source.share} for source in config.sources]
    raw["against"] = [flat(source) for source in config.against]
    return raw


def load_config(path: str, overrides: list[str] = ()) -> MixtureConfig:
    """Reads a YAML config; each override is `key=value`, the value read as YAML, and `sources.0.d=25` reaches inside."""
    import yaml

    raw = read_mapping(path)
    try:
        for override in overrides:
            key, equals, value = override.partition("=")
            if not equals:
                raise InputError(f"--set {override}: must be key=value")
            _override(raw, key.split("."), yaml.safe_load(value))
        return parse_config(raw)
    except yaml.YAMLError as error:
        raise InputError(f"--set: not YAML ({' '.join(str(error).split())})") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _override(raw: dict, keys: list[str], value: Any) -> None:
    place: Any = raw
    try:
        for key in keys[:-1]:
            place = place[int(key)] if isinstance(place, list) else place[key]
        if isinstance(place, list):
            place[int(keys[-1])] = value
        else:
            place[keys[-1]] = value
    except (KeyError, IndexError, ValueError, TypeError):
        raise InputError(f"--set {'.'.join(keys)}: there is no such field to set") from None
    if keys == ["p_cot"]:
        raw.pop("forms", None)
