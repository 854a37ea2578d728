"""Runs jobs side by side, each on cores of its own, until all are done or cannot be.

Cores are shared out and pinned, because two processes with as many threads as there are cores slow each other tenfold.
Jobs end with this process, however it ends; what they had not finished is started anew the next time.
"""

import contextlib
import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from data_mix.errors import InputError
from launch.ablation import Ablation, Job
from launch.slot import Slot


@dataclass
class Running:
    """A job that runs, where, since when, and the lock that keeps it from being run twice."""

    job: Job
    slot: Slot
    began: float
    claim: TextIO


@contextlib.contextmanager
def lock(out: Path, shared: bool) -> Iterator[None]:
    """Keeps a second process out of the same folder, but for those that share it, each with a cell of its own.

    Raises:
        InputError: when another process has it.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{out}: another `launch ablate` is at work there; wait for it, or stop it") from None
        yield


def check_finished(ablation: Ablation) -> None:
    """Raises InputError for a finished folder that another command made: its results would be taken for this one's."""
    for job in ablation.jobs.values():
        record = _record(ablation, job)
        if not (job.is_done() and record.is_file()):
            continue
        was, now = json.loads(record.read_text()), _essence(job)
        if was != now:
            changed = [word for word in now if word not in was] or [word for word in was if word not in now]
            raise InputError(f"{job.folder} was made by another command (differs in {changed[0]}); remove it, or change `out`")


def run(ablation: Ablation, slots: int) -> list[str]:
    """Runs what is not done; returns the names of the jobs that failed or could not start."""
    cores = sorted(os.sched_getaffinity(0))
    free = [Slot(tuple(cores[i::slots])) for i in range(slots)]
    everywhere = list(free)
    waiting = {name: job for name, job in ablation.jobs.items() if not job.is_done()}
    running: list[Running] = []
    lost: list[str] = []
    total, finished = len(ablation.jobs), len(ablation.jobs) - len(waiting)
    try:
        while waiting or running:
            for job in list(waiting.values()):
                if any(name in lost for name in job.needs):
                    lost.append(job.name)
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
                    lost.append(one.job.name)
                    print(f"[{finished}/{total}] FAILED {one.job.name}: see {_log(ablation, one.job)}", flush=True)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on with what is not finished", file=sys.stderr)
        raise
    finally:
        for slot in everywhere:
            slot.close()
    return lost


def _claim(ablation: Ablation, job: Job) -> TextIO | None:
    """The job's lock, held until the file is closed; None while another process holds it."""
    path = ablation.out / "logs" / f"{job.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _start(ablation: Ablation, job: Job, slot: Slot, claim: TextIO) -> Running:
    log, record = _log(ablation, job), _record(ablation, job)
    same = record.is_file() and json.loads(record.read_text()) == _essence(job)
    if job.folder.exists() and not (job.resumes and same):
        shutil.rmtree(job.folder)  # of a run that was interrupted: it has not its last file
    for path in (log, record, job.folder):
        path.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(_essence(job)))
    slot.start(job.command, log)
    return Running(job, slot, time.monotonic(), claim)


def _essence(job: Job) -> list[str]:
    """The command without the interpreter's path, which may move."""
    return job.command[1:]


def _log(ablation: Ablation, job: Job) -> Path:
    return ablation.out / "logs" / f"{job.name}.log"


def _record(ablation: Ablation, job: Job) -> Path:
    return ablation.out / "logs" / f"{job.name}.json"
