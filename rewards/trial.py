"""What the rewards of a config pay for known completions: gold, empty and truncated ones. Needs no model."""

import contextlib
import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from rewards import own, specs
from rewards.functions import dump_meta, make_reward_functions, text_of

Encode = Callable[[str], list[int]]
TRL_LIMIT = 512  # TRL's default max_completion_length


@dataclass(frozen=True)
class Case:
    """A completion of a mixture's problem: label, mixture row with parsed meta, token ids with the end token, if it has one."""

    label: str
    row: dict
    text: str
    ids: list[int]


def encode_characters(text: str) -> list[int]:
    """One token per character, where there is no tokenizer yet."""
    return [1 + ord(character) for character in text]


def decode_characters(ids: Sequence[int]) -> str:
    """The text of `encode_characters`."""
    return "".join(chr(i - 1) for i in ids)


def pay(
    rewards: Sequence[str | dict], cases: Sequence[Case], end_id: int, limit: int, step: int = 0
) -> list[list[float | None]]:
    """The values of each reward for each case; (rewards, cases).

    Args:
        rewards: the entries of a config.
        cases: completions, those of one problem together.
        end_id: the token that ends a completion.
        limit: max_completion_length.
        step: what the functions find in `trainer_state.global_step`.

    Raises:
        ValueError, RewardError: as `make_reward_functions` and its functions.
    """
    rows = [case.row for case in cases]
    completions = [
        case.text if isinstance(case.row["prompt"], str) else [{"role": "assistant", "content": case.text}] for case in cases
    ]
    arguments = {
        "prompts": [row["prompt"] for row in rows],
        "completions": completions,
        "completion_ids": [case.ids for case in cases],
        **{name: [row[name] for row in rows] for name in ("answer", "problem_id", "source")},
        "meta": [dump_meta(row) for row in rows],
        "trainer_state": SimpleNamespace(global_step=step, epoch=0.0, max_steps=0),
        "log_extra": lambda *_: None,
        "log_metric": lambda *_: None,
    }
    return [own.run(function, **arguments) for function in make_reward_functions(rewards, [end_id], limit)]


def check(rewards: Sequence[str | dict], rows: Sequence[dict], encode: Encode, end_id: int, limit: int) -> None:
    """Tries the rewards on gold and empty completions of three rows in each form.

    Raises:
        ValueError, RewardError: if a reward cannot be used.
    """
    by_form = _by_form(rows)
    chosen = [row for form in by_form.values() for row in form[:3]]
    gold = [Case("", row, text_of(row["completion"]), [*encode(text_of(row["completion"])), end_id]) for row in chosen]
    pay(rewards, [*gold, *(Case("", row, "", [end_id]) for row in chosen)], end_id, limit)


def make_cases(rows: Sequence[dict], encode: Encode, decode: Callable[[list[int]], str], end_id: int, limit: int) -> list[Case]:
    """A gold completion of median length in each form, an empty one, and the longest of these truncated, all of one group.

    The last is cut at the token limit, or in half if it fits.
    """
    cases = []
    for form, in_form in _by_form(rows).items():
        encoded = [(encode(text_of(row["completion"])), row) for row in in_form[:500]]
        ids, row = sorted(encoded, key=lambda one: len(one[0]))[len(encoded) // 2]
        cases.append(Case(f"gold {form}", row, text_of(row["completion"]), [*ids, end_id]))
    longest = max(cases, key=lambda case: len(case.ids))
    body = longest.ids[:-1]
    cut = body[: limit if len(body) > limit else len(body) // 2]
    cases.append(Case("empty", longest.row, "", [end_id]))
    cases.append(Case(f"{longest.label} cut", longest.row, decode(cut), cut))
    group = {"problem_id": longest.row["problem_id"]}
    return [Case(case.label, case.row | group, case.text, case.ids) for case in cases]


def _by_form(rows: Sequence[dict]) -> dict[str, list[dict]]:
    """The rows of each form, shortest form first."""
    by_form = defaultdict(list)
    for row in rows:
        by_form[row["form"]].append(row)
    median = {form: statistics.median(len(text_of(row["completion"])) for row in rows) for form, rows in by_form.items()}
    return {form: by_form[form] for form in sorted(by_form, key=median.get)}


def show(path: str) -> str:
    """The table of `python -m rewards try`: a row for each case, a column for each reward, and the weighted sum.

    Raises:
        ValueError: if the config, its mixture or a reward cannot be used.
        RewardError: if a user-defined function fails.
    """
    fields = _read_config(Path(path))
    rewards, limit = fields.get("rewards") or ["answer"], fields.get("max_completion_length") or TRL_LIMIT
    parsed = specs.parse(rewards, fields.get("reward_weights"))
    rows = _read_rows(fields.get("mixture"), path)
    model = fields.get("model_name_or_path")
    if tokenizer := _find_tokenizer(model):
        unit, end_id = "tokens", tokenizer.eos_token_id
        codec = partial(tokenizer.encode, add_special_tokens=False), tokenizer.decode
    else:
        unit, end_id, codec = "characters", 0, (encode_characters, decode_characters)
    cases = make_cases(rows, *codec, end_id, limit)
    values = pay(rewards, cases, end_id, limit)
    table = [["completion", unit, *(spec.name for spec in parsed), "weighted sum"]]
    table.append(["weight", "", *(f"{spec.weight:g}" for spec in parsed), ""])
    for case, paid in zip(cases, zip(*values, strict=True), strict=True):
        total = sum(spec.weight * value for spec, value in zip(parsed, paid, strict=True) if value is not None)
        numbers = ["none" if value is None else f"{value + 0.0:.3f}" for value in (*paid, total)]
        table.append([case.label, str(len(case.ids) - (case.ids[-1:] == [end_id])), *numbers])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in table]
    if unit == "characters":
        lines.append(f"lengths are in characters: model_name_or_path {model} has no tokenizer yet")
    return "\n".join(lines)


def _find_tokenizer(model: str | None):
    """The model's tokenizer, or None if it is not on this machine: a path that is not trained yet is no name on the hub."""
    from transformers import AutoTokenizer

    with contextlib.suppress(OSError, ValueError):
        return AutoTokenizer.from_pretrained(model, trust_remote_code=False, local_files_only=True)
    return None


def _read_config(path: Path, derived: tuple[Path, ...] = ()) -> dict:
    """The fields of a recipe's config, over those of its `base`. Not data_mix's reader: rewards imports nothing of ours."""
    import yaml

    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read ({' '.join(str(error).split())[:200]}); give a recipe's YAML file") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{path} is not a mapping of fields; give a recipe's YAML file")
    base = fields.pop("base", None)
    if base is None:
        return fields
    derived = (*derived, path.resolve())
    if not isinstance(base, str) or (path.parent / base).resolve() in derived:
        raise ValueError(f"{path}: base is {base!r}; give the path of a YAML file that is not derived from this one")
    return _read_config(path.parent / base, derived) | fields


def _read_rows(mixture: str | None, path: str) -> list[dict]:
    """The mixture's training rows, with parsed meta."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not isinstance(mixture, str):
        raise ValueError(f"{path} has no mixture; add `mixture: FOLDER`")
    try:
        with pq.ParquetFile(Path(mixture) / "train.parquet") as file:
            rows = next(file.iter_batches(batch_size=20_000)).to_pylist()
        return [row | {"meta": json.loads(row["meta"])} for row in rows]
    except (OSError, ValueError, KeyError, TypeError, StopIteration, pa.ArrowException) as error:
        problem = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: mixture {mixture} cannot be read ({problem}); build it with `python -m data_mix`") from None
