"""Runs the jobs of an ablation in parallel, each pinned to its own cores, until all are done or cannot run.

Each job gets cores of its own: two processes that each run a thread on every core are ten times slower. Jobs end when this
process ends, for whatever reason; the same command resumes them in their folders. Nothing is deleted.
"""

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from data_mix import locks
from data_mix.errors import InputError
from data_mix.files import write_text
from data_mix.hub import is_hub_id
from data_mix.mixture_folder import is_taken
from launch.ablation import ROOT, Ablation, StageJob
from launch.slot import Slot

# Options whose values are paths; "" stands for the words before the first option, such as the script.
PATH_OPTIONS = ("", "--config", "--out", "--output_dir", "--mixture", "--model", "--model_name_or_path")


@dataclass
class RunningJob:
    """A job, the slot it runs on, its start time, and the lock that keeps other processes from running it too."""

    job: StageJob
    slot: Slot
    started: float
    lock: TextIO


def check_folders(ablation: Ablation) -> None:
    """Refuses folders written by a different command, which would otherwise count as this ablation's.

    Raises:
        InputError: naming the folder and the option that differs.
    """
    for job in ablation.jobs.values():
        recorded = _read_record(ablation, job)
        if recorded is None or not is_taken(str(job.folder)):
            continue
        was, now = _by_option(recorded), _by_option(_portable_command(job))
        for name in {**now, **was}:
            if was.get(name) != now.get(name):
                raise InputError(
                    f"{job.folder} was made by another command ({was.get(name, f'no {name}')}; now "
                    f"{now.get(name, f'no {name}')}); change `out`, or move the folder away"
                )


def run(ablation: Ablation, n_slots: int) -> list[str]:
    """Runs the unfinished jobs; returns the names of those that failed or were skipped because a job they need failed."""
    cores = sorted(os.sched_getaffinity(0))
    slots = [Slot(tuple(cores[i::n_slots])) for i in range(n_slots)]
    free = list(slots)
    waiting = {name: job for name, job in ablation.jobs.items() if not job.is_done()}
    running: list[RunningJob] = []
    failed: list[str] = []
    total, finished = len(ablation.jobs), len(ablation.jobs) - len(waiting)
    try:
        while waiting or running:
            for job in list(waiting.values()):
                if any(name in failed for name in job.needs):
                    failed.append(job.name)
                    del waiting[job.name]
                    print(f"skipped {job.name}: a job it needs failed", flush=True)
                elif free and not set(job.needs) & {*waiting, *(current.job.name for current in running)}:
                    lock = locks.try_lock(_log_path(ablation, job, "lock"))
                    if lock is None:
                        continue  # the process of another cell is running it
                    del waiting[job.name]
                    if job.is_done():
                        finished += 1
                        lock.close()
                    else:
                        running.append(_start(ablation, job, free.pop(), lock))
            time.sleep(0.1)
            for current in list(running):
                status = current.slot.poll()
                if status is None:
                    continue
                running.remove(current)
                current.lock.close()
                free.append(current.slot)
                finished += 1
                name, seconds = current.job.name, time.monotonic() - current.started
                if status == 0 and current.job.is_done():
                    print(f"[{finished}/{total}] {name}: {seconds:.0f} s", flush=True)
                else:
                    failed.append(name)
                    print(f"[{finished}/{total}] FAILED {name}: see {_log_path(ablation, current.job, 'log')}", flush=True)
    except KeyboardInterrupt:
        print("interrupted; the same command resumes unfinished jobs", file=sys.stderr)
        raise
    finally:
        for slot in slots:
            slot.close()
    return failed


def _start(ablation: Ablation, job: StageJob, slot: Slot, lock: TextIO) -> RunningJob:
    log = _log_path(ablation, job, "log")
    for path in (log, job.folder):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_text(_log_path(ablation, job, "json"), json.dumps(_portable_command(job)))
    slot.start(job.command, log)
    return RunningJob(job, slot, time.monotonic(), lock)


def _log_path(ablation: Ablation, job: StageJob, suffix: str) -> Path:
    """A job's log (`log`), lock (`lock`) or recorded command (`json`)."""
    return ablation.out / "logs" / f"{job.name}.{suffix}"


def _read_record(ablation: Ablation, job: StageJob) -> list[str] | None:
    """The command that wrote the job's folder; None if there is no readable record, as after a crash."""
    try:
        words = json.loads(_log_path(ablation, job, "json").read_text(encoding="utf-8"))
        return _portable(words, ROOT.resolve())  # older versions recorded absolute paths
    except (OSError, ValueError, TypeError):
        return None


def _portable_command(job: StageJob) -> list[str]:
    """The job's command without the interpreter, and with portable paths."""
    return _portable(job.command[1:], Path.cwd())


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
