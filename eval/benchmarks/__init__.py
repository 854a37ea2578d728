"""Benchmarks: the problems of a published test set, asked in one of three ways.

A task is a YAML beside this file, or a user's own:
    source: {task: gsm8k, path: openai/gsm8k}   # as in a mixture: its test split, or the only one, in its own order
    instruction: ...                            # follows the problem in zero-shot prompts
    answer_style: gsm8k                         # gsm8k (`#### 42`) or boxed: the strict mark, and how references are written
    shots: shots/gsm8k.yaml                     # worked examples: template, stop, examples
    max_tokens: 512                             # of a completion

`chat` is one user message, problem and instruction; `plain` the same as text, for base models; `few-shot` the worked examples
and then the problem, as text, without instruction.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_mix.errors import InputError, nearest
from data_mix.mapping import read_mapping
from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import read_manifest, read_rows
from data_mix.problem import ProblemPool
from data_mix.rows import as_prompts
from data_mix.tasks import find_task

HERE = Path(__file__).parent
FIELDS = ("source", "instruction", "answer_style", "shots", "max_tokens")


@dataclass(frozen=True)
class Benchmark:
    """Problems to ask.

    Attributes:
        rows: problem_id, source, prompt, completion (the reference solution), answer, meta.
        asked: which problems and how, for the eval's settings.
        max_tokens: of a completion; None is twice the longest reference solution.
        stop: texts that end a completion.
        shots: worked examples in each prompt.
        broken: records that could not be read, and are left out.
    """

    rows: list[dict]
    asked: dict
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    shots: int = 0
    broken: int = 0


def from_mixture(folder: str) -> Benchmark:
    """The test problems of a mixture, asked as its train rows are."""
    p_cot = read_manifest(folder)["config"]["forms"].get("long", 0.0)
    return Benchmark(read_rows(folder, "test"), {"mixture": folder, "p_cot": p_cot})


def load(name: str, prompt: str, data: str | None) -> Benchmark:
    """The task `name`, or that of a YAML file.

    Args:
        prompt: chat, plain or few-shot.
        data: a folder of local copies, a folder a task (`DATA/gsm8k/test.jsonl`); None is the source's own path.

    Raises:
        InputError: for an unknown task, a wrong field, or data that cannot be read.
    """
    place, raw = _read(name)
    source = dict(raw["source"])
    if data is not None:
        source["path"] = str(Path(data) / place.stem)
        if not Path(source["path"]).is_dir():
            raise InputError(f"--data {data}: no folder {place.stem} in it; it needs {source['path']}/test.jsonl")
    instruction = raw.get("instruction", "")
    template, stop, shots = f"{{prompt}}\n\n{instruction}", (), 0
    if prompt == "plain":
        template = f"Problem:\n{{prompt}}\n\n{instruction}\n\nSolution:\n"
    elif prompt == "few-shot":
        if "shots" not in raw:
            raise InputError(f"{place}: no worked examples (`shots`); use --prompt chat or plain")
        examples = read_mapping(place.parent / raw["shots"], ("template", "stop", "examples"))
        worked = [examples["template"].format(**example) for example in examples["examples"]]
        asked = examples["template"].format(question="{prompt}", answer="").rstrip()
        template, stop, shots = "".join([*worked, asked]), tuple(examples["stop"]), len(worked)
    fields = {"prompt_format": "chat" if prompt == "chat" else "plain", "answer_style": raw.get("answer_style")}
    try:
        config = parse_config(
            {"sources": [source], "p_cot": 1, "n_train": 1, "n_test": 1, "prompt_template": template, **fields}
        )
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    [one] = config.sources
    records = find_task(one.task).read("drop", **one.options)
    split = "test" if records.test else "train"
    problems = records.test or records.train
    if not problems:
        raise InputError(f"{source['path']}: no problem there that can be read as {one.task}")
    columns = ProblemPool(len(problems), problems.__getitem__).columns(np.arange(len(problems)), "long", config.answer_style)
    columns = {key: values.to_pylist() for key, values in as_prompts(columns, config).items()}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    rows = [{**row, "meta": json.loads(row["meta"])} for row in rows]
    return Benchmark(rows, {"task": place.stem, "prompt": prompt}, raw.get("max_tokens"), stop, shots, records.broken[split])


def check(name: str) -> None:
    """Raises InputError for a task that there is not, or whose fields are wrong, before anything is read."""
    _read(name)


def _read(name: str) -> tuple[Path, dict]:
    place = Path(name) if name.endswith(".yaml") else HERE / f"{name}.yaml"
    known = sorted(path.stem for path in HERE.glob("*.yaml"))
    if not place.is_file():
        raise InputError(f"task '{name}' is unknown; there are {', '.join(known)}, or give a YAML file{nearest(name, known)}")
    raw = read_mapping(place, FIELDS)
    if not isinstance(raw.get("source"), dict):
        raise InputError(f"{place}: needs at least a `source: {{task: NAME, path: ...}}`")
    if "shots" in raw and not (place.parent / raw["shots"]).is_file():
        raise InputError(f"{place}: shots: {raw['shots']}: no such file beside it")
    return place, raw
