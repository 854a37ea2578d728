"""Locks a folder against concurrent writers.

The lock is an flock(2) on the file `.lock` in the folder. The kernel releases it when the last process holding it exits or
crashes, so there are no stale locks. The file names the holder for error messages. SECURITY.md says how reliable locks are on
network file systems; where a file system has none, a note is printed and nothing is locked.
"""

import errno
import fcntl
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import TextIO

from data_mix.errors import InputError

NAME = ".lock"
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


def lock(folder: Path, shared: bool = False) -> TextIO:
    """Locks a folder until the returned file is closed or this process exits; creates the folder if it is missing.

    Args:
        folder: the folder to lock.
        shared: take a shared lock, which other processes may share, instead of an exclusive one.

    Raises:
        InputError: when it is locked, naming host, process and start time of the holder.
    """
    file = try_lock(folder / NAME, shared)
    if file is None:
        raise InputError(f"{folder} is in use by {_holder(folder)}; wait for it, stop it, or give another folder")
    if os.fstat(file.fileno()).st_nlink == 0:  # the holder removed the folder after it was opened here
        file.close()
        return lock(folder, shared)
    file.truncate(0)
    holder = {"host": socket.gethostname(), "process": os.getpid(), "started": time.strftime("%F %T")}
    file.write(json.dumps(holder) + "\n")
    file.flush()
    return file


def try_lock(path: Path, shared: bool = False) -> TextIO | None:
    """Opens and locks a file until it is closed; returns None when another process holds the lock.

    Raises:
        InputError: when the file cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path.parent} cannot be written to ({error.strerror}); give another folder") from None
    try:
        _flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    except BlockingIOError:
        file.close()
        return None
    return file


def share(file: TextIO) -> None:
    """Downgrades an exclusive lock to a shared one, for the other processes of the same run."""
    _flock(file, fcntl.LOCK_SH)


def _flock(file: TextIO, operation: int) -> None:
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        print(f"note: {file.name}: this file system has no locks; make sure that no other run writes there", file=sys.stderr)


def read_holder(path: Path) -> dict | None:
    """Host, process and start time that a lock file names, of the latest of several holders; None if it names none."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
        return {name: holder[name] for name in ("host", "process", "started")}
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _holder(folder: Path) -> str:
    holder = read_holder(folder / NAME)
    return "process {process} on {host}, started {started}".format(**holder) if holder else "another process"
