"""A lock on a folder, held by the processes that write into it.

It is an flock(2) on the file `.lock` in the folder: the kernel releases it when the last of its processes ends, however that
ends, so a stale lock is taken over by itself. The file names the holder for whoever comes second. Across hosts it holds where
the file system passes flock on: NFS 4 (a dead host's lock expires with its lease, about 90 s) and Lustre mounted with
`flock`. On file systems without locks a note is printed and nothing is locked.
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
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / NAME).open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            print(f"note: {folder}: its file system has no locks; see that no second run writes there", file=sys.stderr)
            return file
        holder = _holder(folder)
        file.close()
        raise InputError(f"{folder} is in use by {holder}; wait for it, stop it, or give another folder") from None
    if os.fstat(file.fileno()).st_nlink == 0:  # the holder has removed the folder since it was opened here
        file.close()
        return lock(folder, shared)
    file.truncate(0)
    holder = {"host": socket.gethostname(), "process": os.getpid(), "started": time.strftime("%F %T")}
    file.write(json.dumps(holder) + "\n")
    file.flush()
    return file


def share(file: TextIO) -> None:
    """Lets other processes of the same run take a lock that was exclusive; the first that wants it alone is still refused."""
    fcntl.flock(file, fcntl.LOCK_SH)


def _holder(folder: Path) -> str:
    try:
        fields = json.loads((folder / NAME).read_text(encoding="utf-8").splitlines()[-1])  # of those that share it, the last
        return f"process {fields['process']} on {fields['host']}, started {fields['started']}"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"
