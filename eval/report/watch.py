"""`eval report --watch`: rewrites a run's report whenever its logs or evals grow, until no process of the run is alive."""

import contextlib
import os
import socket
import sys
import time
from pathlib import Path

from data_mix import locks
from data_mix.errors import InputError
from eval.report.page import write_report

POLL = 3.0  # polling interval in seconds, also of the open page's reloads
IDLE = 30.0  # seconds without a live process after which the run counts as finished; the next stage takes a few to start
REMOTE_IDLE = 600.0  # the same since the last log entry, for a process on another machine, which cannot be checked


def watch(folder: str, poll: float = POLL, idle: float = IDLE) -> str:
    """Writes FOLDER/report.html after each change, as a page that reloads itself; at the end once more, as one that does not.

    Returns:
        What `write_report` says of the last one.

    Raises:
        InputError: for an ablation, or when there is nothing to report `idle` seconds after the start.
    """
    run = Path(folder)
    if (run / "evals.json").is_file():
        raise InputError(f"{folder}: --watch follows a single run, and this is an ablation; leave --watch out")
    if not _mtimes(run) and run.is_dir():
        print(f"{folder}: no log yet; waiting for a run to start", file=sys.stderr)
    seen, last_alive = None, time.monotonic()
    while True:
        found = _mtimes(run)
        if alive := any(_is_held(path) for path in _lock_files(run)):
            last_alive = time.monotonic()
        if found != seen and found:
            began = time.monotonic()
            with contextlib.suppress(InputError):  # the first line of a log is still being written; at the end it is an error
                write_report(folder, refresh=max(1, round(poll)))
                print(f"{time.strftime('%T')} {run / 'report.html'}: written", file=sys.stderr)
            seen = found
            time.sleep(3 * (time.monotonic() - began))  # a report takes a second or two of a core that training could use
        if not alive and time.monotonic() - last_alive > idle or not run.is_dir():
            return write_report(folder)
        time.sleep(poll)


def _mtimes(run: Path) -> dict[Path, int]:
    """The time of the last change of each log and eval."""
    patterns = ("*/log.jsonl", "eval/*/metrics.json", "eval/*/*/metrics.json")
    return {path: path.stat().st_mtime_ns for pattern in patterns for path in run.glob(pattern)}


def _lock_files(run: Path) -> list[Path]:
    return [path for pattern in ("*", "eval/.*.run", "eval/*/.*.run") for path in run.glob(f"{pattern}/{locks.NAME}")]


def _is_held(path: Path) -> bool:
    """Whether the process that a lock file names is alive. Trying to lock it could get in the way of a run that starts."""
    holder = locks.read_holder(path)
    if holder is None:
        return False
    try:
        if holder["host"] != socket.gethostname():
            log = path.with_name("log.jsonl")
            return time.time() - (log if log.is_file() else path).stat().st_mtime < REMOTE_IDLE
        os.kill(holder["process"], 0)
    except PermissionError:  # of another user
        return True
    except (OSError, TypeError):
        return False
    return True
