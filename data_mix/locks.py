"""A lock on a folder, held by the processes that write into it.

It is an flock(2) on the file `.lock` in the folder: the kernel releases it when the last of its processes ends, however that
ends, so a stale lock is taken over by itself. The file names the holder for whoever comes second. SECURITY.md says how far
locks hold on network file systems; on those without locks a note is printed and nothing is locked.
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
    """Locks a folder, which is made if it is missing, until the returned file is closed or this process ends.

    Args:
        folder: what to lock.
        shared: together with other processes that take it shared; else alone.

    Raises:
        InputError: naming host, process and start time of the holder.
    """
    file = try_lock(folder / NAME, shared)
    if file is None:
        raise InputError(f"{folder} is in use by {_holder(folder)}; wait for it, stop it, or give another folder")
    if os.fstat(file.fileno()).st_nlink == 0:  # the holder has removed the folder since it was opened here
        file.close()
        return lock(folder, shared)
    file.truncate(0)
    holder = {"host": socket.gethostname(), "process": os.getpid(), "started": time.strftime("%F %T")}
    file.write(json.dumps(holder) + "\n")
    file.flush()
    return file


def try_lock(path: Path, shared: bool = False) -> TextIO | None:
    """The file, opened and locked until it is closed; None while another process holds it.

    Raises:
        InputError: when it cannot be written to.
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
    """Downgrades an exclusive lock, so that other processes of the same run can take it shared."""
    _flock(file, fcntl.LOCK_SH)


def _flock(file: TextIO, operation: int) -> None:
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        print(f"note: {file.name}: this file system has no locks; make sure no other run writes there", file=sys.stderr)


def _holder(folder: Path) -> str:
    try:
        fields = json.loads((folder / NAME).read_text(encoding="utf-8").splitlines()[-1])  # the last one, if several share it
        return f"process {fields['process']} on {fields['host']}, started {fields['started']}"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"
