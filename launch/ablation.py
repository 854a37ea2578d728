"""Reads an ablation file, a grid over fields of the pipeline's stages, and turns it into jobs; cells share common stages.

    out: runs/threshold
    grid:                                   # every combination is a cell; an axis is a list, or a mapping of names to values
      seed: [0, 1, 2]                       # applies to every stage
      mixture.p_cot: [0.1, 0.25, 0.4]       # STAGE.FIELD; `rl.FIELD` means both grpo and star
    stages:                                 # a config next to this file, and fields that all cells share
      mixture: {config: mixture.yaml, sources.0.d: 25}
      sft: {config: sft.yaml}
      grpo: {config: grpo.yaml}
    eval:                                   # arguments of `python -m eval run`, for the model of every stage
      greedy: {}
      sampled: {samples: 4, temperature: 1.0}

A stage depends only on its own fields and those of the stages before it, and its folder is named after these. Cells that
agree on them share the folder. `start`, not a recipe field, names the SFT checkpoint that RL starts from (`checkpoint-50`).

`launcher: accelerate launch ...` replaces `python` for the recipes. Like `env:` in a recipe's YAML it is code: read other
people's ablation files before you run them.
"""

import contextlib
import hashlib
import itertools
import json
import math
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

ROOT = Path(__file__).parents[1]  # the checkout, or site-packages if cotmix is installed from a wheel
UPSTREAM = {"mixture": (), "sft": ("mixture",), "grpo": ("mixture", "sft"), "star": ("mixture", "sft")}  # of each stage
RL = ("grpo", "star")
MAX_NAME = 150  # characters in a folder name; file systems allow 255 bytes, and suffixes are added
MAX_CELLS = 10_000
# The file that each stage writes last: a folder that has it is complete.
MARKERS = {"mixture": "manifest.json", "eval": "metrics.json"} | dict.fromkeys(("sft", *RL), "model.safetensors")


@dataclass
class StageJob:
    """One command that writes one folder.

    Attributes:
        name: `stage/fields`, unique in the ablation; also the folder's path below `out`.
        folder: the output folder.
        marker: the file that is written last.
        command: the command line.
        needs: names of the jobs whose folders it reads.
        axes: the grid fields it depends on, each with the label of its value.
        evaluates: for an eval, the stage whose model it evaluates and the name of the evaluation.
        config: its YAML file; empty for an eval.
    """

    name: str
    folder: Path
    marker: str
    command: list[str]
    needs: list[str]
    axes: dict[str, Any]
    evaluates: dict[str, str] = field(default_factory=dict)
    config: str = ""

    def is_done(self) -> bool:
        """Whether the folder is complete."""
        return (self.folder / self.marker).is_file()


@dataclass
class Ablation:
    """The cells of a grid and their jobs; every job comes after the jobs it needs."""

    out: Path
    cells: dict[str, dict[str, StageJob]]
    jobs: dict[str, StageJob]


def read(path: str) -> Ablation:
    """Parses an ablation file.

    Raises:
        InputError: for an unknown file, stage, field or axis, an invalid folder name, or two cells with the same name.
    """
    raw = read_mapping(path, ("out", "grid", "stages", "eval", "launcher"))
    if not all(isinstance(raw.get(key), dict) for key in ("grid", "stages")) or "out" not in raw:
        raise InputError(f"{path}: out, grid or stages is missing; give all three, grid and stages as mappings")
    if not isinstance(raw["out"], str) or not raw["out"].strip():
        raise InputError(f"{path}: out is {raw['out']!r}; it must be the path of a folder")
    if not raw["stages"]:
        raise InputError(f"{path}: stages is empty; give at least `mixture: {{config: mixture.yaml}}`")
    if os.path.normpath(raw["out"]).startswith(".."):
        raise InputError(f"{path}: out {raw['out']} leads out of the current folder; give an absolute path if that is meant")
    if not raw["grid"]:
        raise InputError(f"{path}: grid is empty; give at least one axis, such as seed: [0]")
    _check(path, raw)
    builder = _Builder(path, raw)
    axes = [_labelled(values) for values in raw["grid"].values()]
    if (cells := math.prod(map(len, axes))) > MAX_CELLS:
        raise InputError(f"{path}: grid has {cells:,} cells; the most is {MAX_CELLS:,}, so remove some values")
    for combination in itertools.product(*axes):
        builder.add_cell(dict(zip(raw["grid"], combination, strict=True)))
    return Ablation(builder.out, builder.cells, builder.jobs)


def _check(path: str, raw: dict) -> None:
    launcher = raw.get("launcher")
    if launcher is not None and (not isinstance(launcher, str) or not shutil.which(launcher.partition(" ")[0])):
        raise InputError(f"{path}: launcher: {launcher!r} is not a command here; give one such as `accelerate launch`")
    stages = raw["stages"]
    for stage, fields in stages.items():
        if stage not in UPSTREAM:
            choices = ", ".join(UPSTREAM)
            raise InputError(f"{path}: stages: unknown stage '{stage}'; choose from {choices}{nearest(stage, UPSTREAM)}")
        missing = [name for name in UPSTREAM[stage] if name not in stages]
        if missing:
            raise InputError(f"{path}: stages: {stage} needs {missing[0]}; add it")
        if not isinstance(fields, dict) or "config" not in fields:
            raise InputError(f"{path}: stages: {stage} has no config; give a YAML file, by its path relative to this file")
        if not (Path(path).parent / fields["config"]).is_file():
            raise InputError(f"{path}: stages: {stage}: {fields['config']}: no such file next to {Path(path).name}")
    for axis, values in raw["grid"].items():
        stage = axis.split(".", 1)[0]
        if axis != "seed" and ("." not in axis or stage not in (*stages, "rl") or not is_name(axis)):
            raise InputError(f"{path}: grid: '{axis}' must be seed or STAGE.FIELD, STAGE one of {', '.join(stages)}, rl")
        if not isinstance(values, list | dict) or not values:
            raise InputError(f"{path}: grid: {axis} must be a list of values, or a mapping of names to values")
        if axis == "seed" and not isinstance(values, list):
            raise InputError(f"{path}: grid: seed must be a list of integers, such as [0, 1, 2]")
        if isinstance(values, list) and any(isinstance(value, dict) for value in values):
            raise InputError(f"{path}: grid: {axis} has a value that is a mapping; name the values: {axis}: {{NAME: VALUE}}")
        for (label, value), (other_label, other) in itertools.combinations(_labelled(values), 2):
            if str(label) == str(other_label) or value == other:
                raise InputError(f"{path}: grid: {axis} has {label!r} and {other_label!r}, which are the same; remove one")
    evals = raw.get("eval") or {}
    if not isinstance(evals, dict) or not all(isinstance(arguments or {}, dict) for arguments in evals.values()):
        raise InputError(f"{path}: eval must be a mapping of names to arguments of `python -m eval run`")
    for kind in evals:
        if not is_name(str(kind)):
            raise InputError(f"{path}: eval: {kind!r} is not a valid folder name; use only letters, digits and . _ + -")


def _labelled(values: list | dict) -> list[tuple[Any, Any]]:
    """The (label, value) pairs of an axis: a mapping's keys are labels, a list value is joined, any other is its own label."""
    if isinstance(values, dict):
        return list(values.items())
    return [("+".join(map(str, value)) if isinstance(value, list) else value, value) for value in values]


def link_cells(ablation: Ablation) -> None:
    """Makes a run folder per cell, `cells/NAME`, of symlinks to its stages and evals, and lists all evals in `evals.json`."""
    for name, jobs in ablation.cells.items():
        for path, job in jobs.items():
            link = ablation.out / "cells" / name / path
            link.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                link.symlink_to(os.path.relpath(job.folder, link.parent))
    evals = [
        {"folder": str(job.folder.relative_to(ablation.out)), **job.evaluates, "axes": job.axes}
        for job in ablation.jobs.values()
        if job.evaluates
    ]
    write_text(ablation.out / "evals.json", json.dumps(evals, indent=1) + "\n")


def select_cell(ablation: Ablation, number: int) -> Ablation:
    """The ablation reduced to one cell, counted from 0.

    Raises:
        InputError: for a number out of range.
    """
    if not 0 <= number < len(ablation.cells):
        raise InputError(f"--cell is {number}; give a number from 0 to {len(ablation.cells) - 1}")
    name, jobs = list(ablation.cells.items())[number]
    return Ablation(ablation.out, {name: jobs}, {job.name: job for job in jobs.values()})


class _Builder:
    def __init__(self, path: str, raw: dict) -> None:
        self.path, self.out, self.raw = path, Path(raw["out"]), raw
        self.cells: dict[str, dict[str, StageJob]] = {}
        self.jobs: dict[str, StageJob] = {}

    def add_cell(self, cell: dict[str, tuple[Any, Any]]) -> None:
        jobs: dict[str, StageJob] = {}
        for stage in [name for name in UPSTREAM if name in self.raw["stages"]]:
            jobs[stage] = self.add_stage(stage, cell, jobs)
            if stage != "mixture":
                for kind, arguments in (self.raw.get("eval") or {"greedy": {}}).items():
                    folder = stage if kind == "greedy" else f"{stage}-{kind}"
                    jobs[f"eval/{folder}"] = self.add_eval(stage, kind, folder, arguments or {}, jobs)
        name = folder_name({axis: label for axis, (label, _) in cell.items()})
        if name in self.cells:
            raise InputError(f"{self.path}: two cells are called {name}; label the values of the grid differently")
        self.cells[name] = jobs

    def add_stage(self, stage: str, cell: dict, upstream: dict[str, StageJob]) -> StageJob:
        seed = {"seed": cell["seed"][0]} if "seed" in cell else {}
        axes = {**seed, **{axis: label for name in UPSTREAM[stage] for axis, label in upstream[name].axes.items()}}
        fields = {name: value for name, value in self.raw["stages"][stage].items() if name != "config"} | seed
        for axis, (label, value) in cell.items():
            prefix, _, name = axis.partition(".")
            if prefix == stage or (prefix == "rl" and stage in RL):
                axes[axis] = label
                fields[name] = value
        config = str(Path(self.path).parent / self.raw["stages"][stage]["config"])
        folder = self.out / stage / folder_name(axes)
        if stage == "mixture":
            settings = [f"{name}={json.dumps(value)}" for name, value in fields.items()]
            command = [sys.executable, "-m", "data_mix", "build", config, "--out", str(folder)]
            command += ["--set", *settings] if settings else []
        else:
            fields |= {"mixture": str(upstream["mixture"].folder), "output_dir": str(folder)}
            if stage in RL:
                fields["model_name_or_path"] = str(upstream["sft"].folder / (fields.pop("start", None) or ""))
            launcher = self.raw["launcher"].split() if self.raw.get("launcher") else [sys.executable]
            command = [*launcher, str(ROOT / "recipes" / f"{stage}.py"), "--config", config, *to_arguments(fields)]
        needs = [upstream[name].name for name in UPSTREAM[stage]]
        return self.add(StageJob(f"{stage}/{folder.name}", folder, MARKERS[stage], command, needs, axes, config=config))

    def add_eval(self, stage: str, kind: str, folder: str, arguments: dict, jobs: dict[str, StageJob]) -> StageJob:
        model, mixture = jobs[stage], jobs["mixture"]
        name = f"eval/{folder}/{model.folder.name}"
        paths = {"model": model.folder, "mixture": mixture.folder, "out": self.out / name}
        seed = {"seed": model.axes["seed"]} if "seed" in model.axes else {}
        options = {option.replace("_", "-"): value for option, value in (seed | arguments).items()}
        command = [sys.executable, "-m", "eval", "run", *to_arguments(paths | options)]
        evaluates = {"stage": stage, "kind": kind}
        needs = [model.name, mixture.name]
        return self.add(StageJob(name, paths["out"], MARKERS["eval"], command, needs, model.axes, evaluates))

    def add(self, job: StageJob) -> StageJob:
        known = self.jobs.setdefault(job.name, job)
        if known.command != job.command:
            raise InputError(f"{self.path}: two jobs are called {job.name}; label the values of the grid differently")
        return known


def is_name(text: str) -> bool:
    """Whether `text` is a valid name for one folder, so that it cannot point elsewhere."""
    return bool(re.fullmatch(r"[\w.+-]+", text)) and text not in (".", "..")


def folder_name(axes: dict[str, Any]) -> str:
    """`p_cot=0.25,seed=0`, or `all` without axes.

    Characters that do not belong in a file name become `-` and long names are cut; a hash then keeps them distinct.
    """
    text = ",".join(f"{axis.rsplit('.', 1)[-1]}={label}" for axis, label in sorted(axes.items()))
    safe = re.sub(r"[^\w.=,+-]", "-", text)[:MAX_NAME] or "all"
    return safe if safe == (text or "all") else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def to_arguments(fields: dict[str, Any]) -> list[str]:
    """`--name value ...`, in the format that the recipes' parser reads."""
    words = []
    for name, value in fields.items():
        if isinstance(value, bool):
            value = str(value).lower()
        elif isinstance(value, dict):
            value = json.dumps(value)
        words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return words
