"""Benchmarks: public test sets in one of three prompt formats, and the test problems of mixtures.

A task is a YAML file in this folder, or a user's own:
    source: {task: gsm8k, path: openai/gsm8k}   # as in a mixture config; its test split, else its train split, in file order
    instruction: ...                            # appended to the problem in zero-shot prompts
    answer_style: gsm8k                         # gsm8k (`#### 42`) or boxed: format of strict answers and reference solutions
    shots: shots/gsm8k.yaml                     # few-shot examples: template, stop, examples
    max_tokens: 512                             # length limit of a completion

Prompt formats: `chat` is one user message with problem and instruction; `plain` the same as text, for base models; `few-shot`
the worked examples and then the problem, as text without instruction.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_mix import card, values
from data_mix.errors import InputError, nearest
from data_mix.mapping import read_mapping
from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import read_manifest, read_rows
from data_mix.problem import ProblemPool
from data_mix.rows import as_prompts
from data_mix.tasks import find_task

HERE = Path(__file__).parent
PROMPTS = ("chat", "plain", "few-shot")
FIELDS = ("source", "instruction", "answer_style", "shots", "max_tokens")


@dataclass(frozen=True)
class Benchmark:
    """Problems with their prompts.

    Attributes:
        rows: problem_id, source, prompt, completion (the reference solution), answer, meta.
        origin: where the problems come from and their prompt format; recorded in the eval's settings.
        max_tokens: length limit of a completion; None means twice the longest reference solution.
        stop: texts that end a completion.
        shots: number of worked examples in each prompt.
        broken: number of records that could not be read and were skipped.
        source: the task and options by which data_mix reads it; empty for a mixture.
        p_cot_by_source: the share of a mixture's training rows in long form, if sources have different ones.
    """

    rows: list[dict]
    origin: dict
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    shots: int = 0
    broken: int = 0
    source: dict = field(default_factory=dict)
    p_cot_by_source: dict[str, float] = field(default_factory=dict)


def from_mixture(folder: str) -> Benchmark:
    """The test problems of a mixture, in the prompt format of its train rows."""
    manifest = read_manifest(folder)
    # with `unit: rows`, it is the same in every source
    by_source = card.long_rows_by_source(manifest) if manifest["config"]["unit"] == "tokens" else {}
    origin = {"mixture": folder, "p_cot": card.long_rows(manifest)}
    return Benchmark(read_rows(folder, "test"), origin, p_cot_by_source=by_source)


def load(name: str, prompt: str, data: str | None) -> Benchmark:
    """Loads a benchmark.

    Args:
        name: a task's name, or the path of a YAML file.
        prompt: prompt format: chat, plain or few-shot.
        data: folder with local copies, one folder per task (`DATA/gsm8k/test.jsonl`); None uses the source's `path`.

    Raises:
        InputError: for an unknown task, an invalid field, or data that cannot be read.
    """
    import pyarrow as pa

    file, raw = _read(name)
    source = dict(raw["source"])
    if data is not None:
        source["path"] = str(Path(data) / file.stem)
        if not Path(source["path"]).is_dir():
            raise InputError(f"--data {data}: no folder {file.stem} in it; it needs {source['path']}/test.jsonl")
    instruction = raw.get("instruction", "")
    template, stop, shots = f"{{prompt}}\n\n{instruction}", (), 0
    if prompt == "plain":
        template = f"Problem:\n{{prompt}}\n\n{instruction}\n\nSolution:\n"
    elif prompt == "few-shot":
        if "shots" not in raw:
            raise InputError(f"{file}: no worked examples (`shots`); use --prompt chat or plain")
        examples = _read_examples(file.parent / raw["shots"])
        worked = [examples["template"].format(**example) for example in examples["examples"]]
        last = examples["template"].format(question="{prompt}", answer="").rstrip()
        template, stop, shots = "".join([*worked, last]), tuple(examples["stop"]), len(worked)
    fields = {"prompt_format": "chat" if prompt == "chat" else "plain", "answer_style": raw.get("answer_style")}
    try:
        config = parse_config(
            {"sources": [source], "p_cot": 1, "n_train": 1, "n_test": 1, "prompt_template": template, **fields}
        )
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    [only] = config.sources
    records = find_task(only.task).read("drop", **only.options)
    split = "test" if records.test else "train"
    problems = records.test or records.train
    if not problems:
        raise InputError(f"{source['path']}: contains no problem readable as {only.task}; check the path and the task")
    columns = ProblemPool(len(problems), problems.__getitem__).columns(np.arange(len(problems)), "long", config.answer_style)
    rows = [row | {"meta": json.loads(row["meta"])} for row in pa.table(as_prompts(columns, config)).to_pylist()]
    origin = {"task": file.stem, "prompt": prompt}
    return Benchmark(rows, origin, raw.get("max_tokens"), stop, shots, records.broken[split], raw["source"])


def check(name: str) -> None:
    """Raises InputError for an unknown task or invalid fields. Reads no data."""
    _read(name)


def _read(name: str) -> tuple[Path, dict]:
    file = Path(name) if name.endswith(".yaml") else HERE / f"{name}.yaml"
    known = sorted(path.stem for path in HERE.glob("*.yaml"))
    if not file.is_file():
        raise InputError(f"task '{name}' is unknown; use {', '.join(known)} or a YAML file{nearest(name, known)}")
    raw = read_mapping(file, FIELDS)
    if not isinstance(raw.get("source"), dict):
        raise InputError(f"{file}: no source; it needs at least a `source: {{task: NAME, path: ...}}`")
    for name in ("instruction", "shots"):
        if name in raw:
            values.check_text(raw[name], f"{file}: {name}", lines=True)
    if "max_tokens" in raw:
        values.number(raw["max_tokens"], f"{file}: max_tokens", 1, integer=True)
    if "shots" in raw and not (file.parent / raw["shots"]).is_file():
        raise InputError(f"{file}: shots: {raw['shots']}: no such file; give a path relative to {file.parent}")
    return file, raw


def _read_examples(file: Path) -> dict:
    """The worked examples in a file: `template` with {question} and {answer}, `stop` texts, and `examples`."""
    raw = read_mapping(file, ("template", "stop", "examples"))
    values.check_text(raw.get("template"), f"{file}: template", lines=True)
    for name in ("stop", "examples"):
        if not isinstance(raw.get(name), list):
            raise InputError(f"{file}: {name} is {raw.get(name)!r}; it must be a list")
    for text in raw["stop"]:
        values.check_text(text, f"{file}: stop", lines=True)
    for example in raw["examples"]:
        if not isinstance(example, dict) or not {"question", "answer"} <= example.keys():
            raise InputError(f"{file}: examples: {example!r}; each needs a question and an answer")
    return raw
