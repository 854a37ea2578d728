"""What made a job's folder, in `logs/JOB.json`: its command, its config, and a digest of the same for the jobs it needs.

A folder counts as an ablation's only if all three are still the same, so results of different settings are never mixed. A stage
that was rebuilt with the same settings goes unnoticed.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from data_mix.errors import InputError
from data_mix.hub import is_hub_id
from data_mix.mapping import read_mapping
from data_mix.mixture_folder import is_taken
from launch.ablation import ROOT, Ablation, StageJob
from recipes.training.config import LOCATION_FIELDS

# Options whose values are paths; "" stands for the words before the first option, such as the script.
PATH_OPTIONS = ("", "--config", "--out", "--output_dir", "--mixture", "--model", "--model_name_or_path")
# Fields of a config that do not change what it computes.
IGNORED = (*LOCATION_FIELDS, "env", "recipe")


def make_records(ablation: Ablation) -> dict[str, dict]:
    """The record of every job, by its name.

    Raises:
        InputError: for a config that cannot be read.
    """
    records: dict[str, dict] = {}
    for job in ablation.jobs.values():  # each after those it needs
        needs = {name: hashlib.sha256(json.dumps(records[name]).encode()).hexdigest() for name in job.needs}
        records[job.name] = {"command": _portable(job.command[1:], Path.cwd()), "config": read_config(job), "needs": needs}
    return records


def read_config(job: StageJob) -> dict[str, Any]:
    """The fields of the job's config that decide what it computes; {} for an eval.

    Raises:
        InputError: for a config that cannot be read.
    """
    fields = read_mapping(job.config) if job.config else {}
    fields = {name: value for name, value in fields.items() if name not in IGNORED}
    return json.loads(json.dumps(fields, default=str))  # YAML also has dates


def check_folders(ablation: Ablation, records: dict[str, dict]) -> None:
    """Refuses folders that were made by other commands, from other configs or from other stages than in `records`.

    Raises:
        InputError: naming the first such folder, what differs, and the folders that were made from it.
    """
    for job in ablation.jobs.values():
        recorded = _read_record(ablation, job)
        if not recorded or not is_taken(str(job.folder)):
            continue
        if difference := _difference(recorded, records[job.name]):
            names = {job.name}
            for later in ablation.jobs.values():  # after those they need
                if names & {*later.needs} and is_taken(str(later.folder)):
                    names.add(later.name)
            rest = [str(ablation.jobs[name].folder) for name in names - {job.name}]
            away = f"the folder away, and what was made from it ({', '.join(sorted(rest))})" if rest else "the folder away"
            raise InputError(f"{job.folder} was made {difference}; change `out`, or move {away}")


def log_path(ablation: Ablation, job: StageJob, suffix: str) -> Path:
    """A job's log (`log`), lock (`lock`) or record (`json`)."""
    return ablation.out / "logs" / f"{job.name}.{suffix}"


def _difference(was: dict[str, Any], now: dict[str, Any]) -> str | None:
    """How two records differ, as the end of `FOLDER was made ...`; None if not. Older records have the command alone."""
    options, before = _by_option(now["command"]), _by_option(was["command"])
    for name in {**options, **before}:
        if options.get(name) != before.get(name):
            return f"by another command ({before.get(name, f'no {name}')}; now {options.get(name, f'no {name}')})"
    config, before = now["config"], was.get("config", now["config"])
    for name in {**config, **before}:
        if config.get(name) != before.get(name):
            return f"from another config ({name}: {before.get(name)!r}; now {config.get(name)!r})"
    needs, before = now["needs"], was.get("needs", now["needs"])
    return next((f"from another {name}" for name in needs if needs[name] != before.get(name)), None)


def _read_record(ablation: Ablation, job: StageJob) -> dict[str, Any] | None:
    """What made the job's folder; None if there is no readable record, as after a crash."""
    try:
        record = json.loads(log_path(ablation, job, "json").read_text(encoding="utf-8"))
        if isinstance(record, list):  # older versions recorded the command alone, with absolute paths
            record = {"command": record}
        return record | {"command": _portable(record["command"], ROOT.resolve())}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _portable(words: list[str], folder: Path) -> list[str]:
    """Makes paths into the checkout relative to it, so that it can be moved or reached by another path.

    Args:
        words: a command line.
        folder: what its relative paths are relative to.
    """
    portable, option = [], ""
    for word in words:
        option = word if word.startswith("--") else option
        is_path = "/" in word and option in PATH_OPTIONS and not (option == "--model_name_or_path" and is_hub_id(word))
        portable.append(_portable_path(folder / word) if is_path else word)
    return portable


def _portable_path(path: Path) -> str:
    root = ROOT.resolve()
    candidates = (Path(os.path.abspath(path)), path.resolve())  # the first keeps symlinks, such as `runs` on another disk
    return next((str(one.relative_to(root)) for one in candidates if one.is_relative_to(root)), str(candidates[0]))


def _by_option(words: list[str]) -> dict[str, str]:
    """Splits a command line by option: each maps to itself and its values, "the program" to the words before the first."""
    options: dict[str, str] = {}
    name = "the program"
    for word in words:
        name = word if word.startswith("--") else name
        options[name] = f"{options[name]} {word}" if name in options else word
    return options
