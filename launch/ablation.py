"""An ablation: a grid over fields of the pipeline's stages, as jobs that share what they can.

    out: runs/threshold
    grid:                                   # every combination is a cell; an axis is a list, or a mapping of names to values
      seed: [0, 1, 2]                       # of every stage
      mixture.p_cot: [0.1, 0.25, 0.4]       # a stage's field; `rl.` means grpo and star alike
    stages:                                 # config (beside this file) and fields that are the same in all cells
      mixture: {config: mixture.yaml, sources.0.d: 25}
      sft: {config: sft.yaml}
      grpo: {config: grpo.yaml}
    eval:                                   # arguments of `python -m eval run`, for the model of every stage
      greedy: {}
      sampled: {samples: 4, temperature: 1.0}

A stage depends on the fields of its own and of the stages before it, and its folder is named after those alone: cells that
agree in them share it. `start` is no field of a recipe but the SFT checkpoint that RL starts from (`checkpoint-50`).

`launcher: accelerate launch ...` starts the recipes in place of `python`. It is code, and so is `env:` in a recipe's YAML:
both run what the file says, so read an ablation from others before you run it.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_mix.errors import InputError, nearest
from data_mix.files import write_text
from data_mix.mapping import read_mapping

ROOT = Path(__file__).parents[1]
BEFORE = {"mixture": (), "sft": ("mixture",), "grpo": ("mixture", "sft"), "star": ("mixture", "sft")}
RL = ("grpo", "star")
LONGEST = 150  # characters of a name; file systems take 255 bytes, and endings are added
MARKER = {"mixture": "manifest.json", "eval": "metrics.json"}  # the last file of a finished folder; else model.safetensors


@dataclass
class StageJob:
    """One command that writes one folder.

    Attributes:
        name: `stage/fields`, unique in the ablation, and the folder's path in it.
        folder: what it writes.
        marker: the file in it that is written last.
        command: the command line.
        needs: names of the jobs whose folders it reads.
        axes: the grid's fields that it depends on, with the labels of their values.
        measures: of an eval, the stage whose model it measures and how that is decoded.
    """

    name: str
    folder: Path
    marker: str
    command: list[str]
    needs: list[str]
    axes: dict[str, Any]
    measures: dict[str, str] = field(default_factory=dict)

    def is_done(self) -> bool:
        """Whether its folder is complete."""
        return (self.folder / self.marker).is_file()


@dataclass
class Ablation:
    """The grid's cells, and the jobs that they need, in an order in which each comes after those it needs."""

    out: Path
    cells: dict[str, dict[str, StageJob]]
    jobs: dict[str, StageJob]


def read(path: str) -> Ablation:
    """Parses an ablation file.

    Raises:
        InputError: for a file, stage, field or axis that does not exist, a name that cannot be a folder's, or two cells of one
            name.
    """
    raw = read_mapping(path, ("out", "grid", "stages", "eval", "launcher"))
    if not all(isinstance(raw.get(key), dict) for key in ("grid", "stages")) or "out" not in raw:
        raise InputError(f"{path}: must have out, grid and stages")
    if not isinstance(raw["out"], str):
        raise InputError(f"{path}: out is {raw['out']!r}; it must be the path of a folder")
    _check(path, raw)
    builder = _Builder(path, raw)
    choices = [_choices(values) for values in raw["grid"].values()]
    for combination in itertools.product(*choices):
        builder.add_cell(dict(zip(raw["grid"], combination, strict=True)))
    return Ablation(builder.out, builder.cells, builder.jobs)


def _check(path: str, raw: dict) -> None:
    launcher = raw.get("launcher")
    if launcher is not None and (not isinstance(launcher, str) or not shutil.which(launcher.partition(" ")[0])):
        raise InputError(f"{path}: launcher: {launcher!r} is no command here; give one such as `accelerate launch`")
    stages = raw["stages"]
    for stage, fields in stages.items():
        if stage not in BEFORE:
            raise InputError(f"{path}: stages: '{stage}' is unknown; there are {', '.join(BEFORE)}{nearest(stage, BEFORE)}")
        missing = [name for name in BEFORE[stage] if name not in stages]
        if missing:
            raise InputError(f"{path}: stages: {stage} needs {missing[0]}")
        if not isinstance(fields, dict) or "config" not in fields:
            raise InputError(f"{path}: stages: {stage} needs a config: the YAML file that it starts from, beside this one")
        if not (Path(path).parent / fields["config"]).is_file():
            raise InputError(f"{path}: stages: {stage}: {fields['config']}: no such file beside {Path(path).name}")
    for axis, values in raw["grid"].items():
        stage = axis.split(".", 1)[0]
        if axis != "seed" and ("." not in axis or stage not in (*stages, "rl") or not is_name(axis)):
            raise InputError(
                f"{path}: grid: '{axis}' must be seed or STAGE.FIELD, with one of the stages {', '.join(stages)}, rl"
            )
        if not isinstance(values, list | dict) or not values:
            raise InputError(f"{path}: grid: {axis} must be a list of values, or a mapping of names to values")
        for one, other in itertools.combinations(_choices(values), 2):
            if str(one[0]) == str(other[0]) or one[1] == other[1]:
                raise InputError(f"{path}: grid: {axis} has {one[0]!r} and {other[0]!r}, which are the same; remove one")
    evals = raw.get("eval") or {}
    if not isinstance(evals, dict) or not all(isinstance(arguments or {}, dict) for arguments in evals.values()):
        raise InputError(f"{path}: eval must be a mapping of names to arguments of `python -m eval run`")
    for kind in evals:
        if not is_name(str(kind)):
            raise InputError(f"{path}: eval: {kind!r} names folders; use letters, digits and . _ + - alone")


def _choices(values: list | dict) -> list[tuple[Any, Any]]:
    """An axis as (label, value) pairs: a number or text is its own label, a list's words are joined, others have names."""
    if isinstance(values, dict):
        return list(values.items())
    return [("+".join(map(str, value)) if isinstance(value, list) else value, value) for value in values]


def link_cells(ablation: Ablation) -> None:
    """Makes a run folder a cell, `cells/NAME`, of links to what it shares, and lists every eval in `evals.json`."""
    for name, jobs in ablation.cells.items():
        for place, job in jobs.items():
            link = ablation.out / "cells" / name / place
            link.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                link.symlink_to(os.path.relpath(job.folder, link.parent))
    evals = [
        {"folder": str(job.folder.relative_to(ablation.out)), **job.measures, "axes": job.axes}
        for job in ablation.jobs.values()
        if job.measures
    ]
    write_text(ablation.out / "evals.json", json.dumps(evals, indent=1) + "\n")


def only(ablation: Ablation, number: int) -> Ablation:
    """The ablation's one cell of that number, from 0.

    Raises:
        InputError: when there is none.
    """
    if not 0 <= number < len(ablation.cells):
        raise InputError(f"--cell is {number}; the ablation has cells 0 to {len(ablation.cells) - 1}")
    name = list(ablation.cells)[number]
    mine = ablation.cells[name].values()
    return Ablation(ablation.out, {name: ablation.cells[name]}, {job.name: job for job in mine})


class _Builder:
    def __init__(self, path: str, raw: dict) -> None:
        self.path, self.out, self.raw = path, Path(raw["out"]), raw
        self.cells: dict[str, dict[str, StageJob]] = {}
        self.jobs: dict[str, StageJob] = {}

    def add_cell(self, cell: dict[str, tuple[Any, Any]]) -> None:
        jobs: dict[str, StageJob] = {}
        for stage in [name for name in BEFORE if name in self.raw["stages"]]:
            jobs[stage] = self.add_stage(stage, cell, jobs)
            if stage != "mixture":
                for kind, arguments in (self.raw.get("eval") or {"greedy": {}}).items():
                    folder = stage if kind == "greedy" else f"{stage}-{kind}"
                    jobs[f"eval/{folder}"] = self.add_eval(stage, kind, folder, arguments or {}, jobs)
        name = name_of({axis: label for axis, (label, _) in cell.items()})
        if name in self.cells:
            raise InputError(f"{self.path}: two cells are called {name}; give values of the grid other names")
        self.cells[name] = jobs

    def add_stage(self, stage: str, cell: dict, before: dict[str, StageJob]) -> StageJob:
        own = {"seed": cell["seed"][0]} if "seed" in cell else {}
        axes = {**own, **{axis: value for name in BEFORE[stage] for axis, value in before[name].axes.items()}}
        fields = {name: value for name, value in self.raw["stages"][stage].items() if name != "config"} | own
        for axis, (label, value) in cell.items():
            prefix, _, name = axis.partition(".")
            if prefix == stage or (prefix == "rl" and stage in RL):
                axes[axis] = label
                fields[name] = value
        config = str(Path(self.path).parent / self.raw["stages"][stage]["config"])
        folder = self.out / stage / name_of(axes)
        if stage == "mixture":
            settings = [f"{name}={json.dumps(value)}" for name, value in fields.items()]
            command = [sys.executable, "-m", "data_mix", "build", config, "--out", str(folder)]
            command += ["--set", *settings] if settings else []
        else:
            fields |= {"mixture": str(before["mixture"].folder), "output_dir": str(folder)}
            if stage in RL:
                start = fields.pop("start", None)
                fields["model_name_or_path"] = str(before["sft"].folder / start if start else before["sft"].folder)
            launcher = self.raw["launcher"].split() if self.raw.get("launcher") else [sys.executable]
            command = [*launcher, str(ROOT / "recipes" / f"{stage}.py"), "--config", config, *arguments_of(fields)]
        needs = [before[name].name for name in BEFORE[stage]]
        name = f"{stage}/{name_of(axes)}"
        return self.add(StageJob(name, folder, marker_of(stage), command, needs, axes))

    def add_eval(self, stage: str, kind: str, folder: str, arguments: dict, jobs: dict[str, StageJob]) -> StageJob:
        model, mixture = jobs[stage], jobs["mixture"]
        where = {"model": model.folder, "mixture": mixture.folder, "out": self.out / "eval" / folder / name_of(model.axes)}
        seed = {"seed": model.axes["seed"]} if "seed" in model.axes else {}
        options = {name.replace("_", "-"): value for name, value in (seed | arguments).items()}
        command = [sys.executable, "-m", "eval", "run", *arguments_of(where | options)]
        name = f"eval/{folder}/{name_of(model.axes)}"
        measures = {"stage": stage, "kind": kind}
        needs = [model.name, mixture.name]
        return self.add(StageJob(name, where["out"], marker_of("eval"), command, needs, model.axes, measures=measures))

    def add(self, job: StageJob) -> StageJob:
        same = self.jobs.setdefault(job.name, job)
        if same.command != job.command:
            raise InputError(f"{self.path}: two jobs are called {job.name}; give values of the grid other names")
        return same


def marker_of(stage: str) -> str:
    """The file that is written last in a stage's folder."""
    return MARKER.get(stage, "model.safetensors")


def is_name(text: str) -> bool:
    """Whether `text` can be part of a path without leading elsewhere."""
    return bool(re.fullmatch(r"[\w.+-]+", text)) and text not in (".", "..")


def name_of(axes: dict[str, Any]) -> str:
    """`p_cot=0.25,seed=0`; `all` where nothing varies.

    Characters that cannot be in a file name become `-`, and long names are cut; then a hash keeps them distinct.
    """
    text = ",".join(f"{axis.rsplit('.', 1)[-1]}={label}" for axis, label in sorted(axes.items()))
    safe = re.sub(r"[^\w.=,+-]", "-", text)[:LONGEST] or "all"
    return safe if safe == (text or "all") else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def arguments_of(fields: dict[str, Any]) -> list[str]:
    """`--name value ...` as the recipes' parser reads them."""
    words = []
    for name, value in fields.items():
        if isinstance(value, bool):
            value = str(value).lower()
        elif isinstance(value, dict):
            value = json.dumps(value)
        words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return words
