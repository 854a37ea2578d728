"""Runs the jobs of an ablation in parallel, each pinned to its own cores, until all are done or cannot run.

Each job gets cores of its own: two processes that each run a thread on every core are ten times slower. Jobs end when this
process ends, for whatever reason; the same command resumes them in their folders. Nothing is deleted.
"""

import json
import os
import sys
import time
from dataclasses import dataclass
from typing import TextIO

from data_mix import locks
from data_mix.errors import InputError
from data_mix.files import write_text
from launch.ablation import Ablation, StageJob
from launch.records import log_path, read_config
from launch.slot import Slot


@dataclass
class RunningJob:
    """A job, the slot it runs on, its start time, and the lock that keeps other processes from running it too."""

    job: StageJob
    slot: Slot
    started: float
    lock: TextIO


def run(ablation: Ablation, n_slots: int, records: dict[str, dict]) -> list[str]:
    """Runs the unfinished jobs; returns the names of those that failed or were skipped because a job they need failed.

    Args:
        ablation: its jobs.
        n_slots: how many run at a time.
        records: what to record of each job, from `launch.records`.
    """
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
                    lock = locks.try_lock(log_path(ablation, job, "lock"))
                    if lock is None:
                        continue  # the process of another cell is running it
                    del waiting[job.name]
                    if job.is_done():
                        finished += 1
                        lock.close()
                    elif change := _find_change(job, records[job.name]):
                        failed.append(job.name)
                        lock.close()
                        print(f"FAILED {job.name}: {change}; run the command again", flush=True)
                    else:
                        running.append(_start(ablation, job, free.pop(), lock, records[job.name]))
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
                    print(f"[{finished}/{total}] FAILED {name}: see {log_path(ablation, current.job, 'log')}", flush=True)
    except KeyboardInterrupt:
        print("interrupted; the same command resumes unfinished jobs", file=sys.stderr)
        raise
    finally:
        for slot in slots:
            slot.close()
    return failed


def _find_change(job: StageJob, record: dict) -> str | None:
    """Why the job, which reads its config when it starts, would not compute what is recorded; None if it would."""
    try:
        return None if read_config(job) == record["config"] else f"{job.config} has changed since the ablation started"
    except InputError as error:
        return str(error)


def _start(ablation: Ablation, job: StageJob, slot: Slot, lock: TextIO, record: dict) -> RunningJob:
    log = log_path(ablation, job, "log")
    for path in (log, job.folder):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_text(log_path(ablation, job, "json"), json.dumps(record))
    slot.start(job.command, log)
    return RunningJob(job, slot, time.monotonic(), lock)
