"""Runs jobs side by side, each on cores of its own, until all are done or cannot be.

Cores are shared out and pinned, because two processes with as many threads as there are cores slow each other tenfold.
Jobs end with this process, however it ends; the same command resumes them in their folders. Nothing is deleted.
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

# The options whose values are paths; what stands before all options is the program.
PATHS = ("", "--config", "--out", "--output_dir", "--mixture", "--model", "--model_name_or_path")


@dataclass
class Running:
    """A job that runs, where, since when, and the lock that keeps it from being run twice."""

    job: StageJob
    slot: Slot
    began: float
    claim: TextIO


def check_folders(ablation: Ablation) -> None:
    """Refuses folders of other commands: a finished one would be taken for this ablation's, and none is ever deleted.

    Raises:
        InputError: naming the folder and what differs.
    """
    for job in ablation.jobs.values():
        recorded = _read_record(ablation, job)
        if recorded is None or not is_taken(str(job.folder)):
            continue
        was, now = _options(recorded), _options(_essence(job))
        for name in {**now, **was}:
            if was.get(name) != now.get(name):
                raise InputError(
                    f"{job.folder} was made by another command ({was.get(name, f'no {name}')}; now "
                    f"{now.get(name, f'no {name}')}); change `out`, or move the folder away"
                )


def run(ablation: Ablation, slots: int) -> list[str]:
    """Runs what is not done; returns the names of the jobs that failed or could not start."""
    cores = sorted(os.sched_getaffinity(0))
    free = [Slot(tuple(cores[i::slots])) for i in range(slots)]
    everywhere = list(free)
    waiting = {name: job for name, job in ablation.jobs.items() if not job.is_done()}
    running: list[Running] = []
    failed: list[str] = []
    total, finished = len(ablation.jobs), len(ablation.jobs) - len(waiting)
    try:
        while waiting or running:
            for job in list(waiting.values()):
                if any(name in failed for name in job.needs):
                    failed.append(job.name)
                    del waiting[job.name]
                    print(f"skipped {job.name}: what it needs failed", flush=True)
                elif free and not set(job.needs) & {*waiting, *(one.job.name for one in running)}:
                    claim = _claim(ablation, job)
                    if claim is None:
                        continue  # another cell's process is at it
                    del waiting[job.name]
                    if job.is_done():
                        finished += 1
                        claim.close()
                    else:
                        running.append(_start(ablation, job, free.pop(), claim))
            time.sleep(0.1)
            for one in list(running):
                status = one.slot.poll()
                if status is None:
                    continue
                running.remove(one)
                one.claim.close()
                free.append(one.slot)
                finished += 1
                seconds = time.monotonic() - one.began
                if status == 0 and one.job.is_done():
                    print(f"[{finished}/{total}] {one.job.name}: {seconds:.0f} s", flush=True)
                else:
                    failed.append(one.job.name)
                    print(f"[{finished}/{total}] FAILED {one.job.name}: see {_log(ablation, one.job)}", flush=True)
    except KeyboardInterrupt:
        print("interrupted; the same command resumes what is not finished", file=sys.stderr)
        raise
    finally:
        for slot in everywhere:
            slot.close()
    return failed


def _claim(ablation: Ablation, job: StageJob) -> TextIO | None:
    """The job's lock, held until the file is closed; None while another process holds it."""
    return locks.try_lock(ablation.out / "logs" / f"{job.name}.lock")


def _start(ablation: Ablation, job: StageJob, slot: Slot, claim: TextIO) -> Running:
    for path in (_log(ablation, job), job.folder):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_text(_record(ablation, job), json.dumps(_essence(job)))
    slot.start(job.command, _log(ablation, job))
    return Running(job, slot, time.monotonic(), claim)


def _essence(job: StageJob) -> list[str]:
    """The command without the interpreter, with its paths as `_portable` has them."""
    return _portable(job.command[1:], Path.cwd())


def _portable(words: list[str], folder: Path) -> list[str]:
    """Words of a command, with paths in the checkout relative to it: it may move, and have several names."""
    portable, option = [], ""
    for word in words:
        option = word if word.startswith("--") else option
        is_path = "/" in word and option in PATHS and not (option == "--model_name_or_path" and is_hub_id(word))
        portable.append(_in_checkout(folder / word) if is_path else word)
    return portable


def _in_checkout(path: Path) -> str:
    root = ROOT.resolve()
    spellings = (Path(os.path.abspath(path)), path.resolve())  # the first keeps links, such as `runs` to another disk
    return next((str(one.relative_to(root)) for one in spellings if one.is_relative_to(root)), str(spellings[0]))


def _options(words: list[str]) -> dict[str, str]:
    """A command by its options, each with its values; under "the program" what comes before them."""
    options: dict[str, str] = {}
    name = "the program"
    for word in words:
        name = word if word.startswith("--") else name
        options[name] = f"{options[name]} {word}" if name in options else word
    return options


def _read_record(ablation: Ablation, job: StageJob) -> list[str] | None:
    """The command that the job's folder was made by; None where nobody knows, as after a crash."""
    try:
        words = json.loads(_record(ablation, job).read_text(encoding="utf-8"))
        return _portable(words, ROOT.resolve())  # older versions wrote absolute paths
    except (OSError, ValueError, TypeError):
        return None


def _log(ablation: Ablation, job: StageJob) -> Path:
    return ablation.out / "logs" / f"{job.name}.log"


def _record(ablation: Ablation, job: StageJob) -> Path:
    return ablation.out / "logs" / f"{job.name}.json"
