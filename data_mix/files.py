"""Atomic writes: a file or folder appears whole or not at all, and survives a crash of the machine.

Everything is written under a temporary name beside its place, flushed to disk, and renamed.
"""

import contextlib
import errno
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def temporary_path(path: Path) -> Path:
    """The hidden name beside `path` under which this process writes it."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def sync(path: Path) -> None:
    """Flushes a file, or the entries of a folder, to disk; without it a crash can leave a renamed file empty."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Flushes everything in a folder to disk."""
    for path in sorted(folder.rglob("*")):
        if not path.is_symlink():
            sync(path)
    sync(folder)


def replace(temporary: Path, path: Path) -> None:
    """Renames a written file to `path`, for good."""
    sync(temporary)
    os.replace(temporary, path)
    sync(path.parent)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary name to write to; at the end of the block it becomes `path`.

    The file that was there stays whole when the disk is full or the process is killed.
    """
    temporary = temporary_path(path)
    try:
        yield temporary
        replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file, UTF-8, as `new_file` does."""
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder to fill; at the end of the block it becomes `target`. What killed processes left is removed.

    After an exception nothing is left, not even the folders above `target` that were missing.

    Raises:
        FileExistsError: when `target` has something in it by then, from another process.
    """
    parent = target.parent
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f".{glob.escape(target.name)}.*.part"):
        _remove_unused(left)
    temporary, handle = _locked_folder(parent, target.name)
    try:
        yield temporary
        sync_tree(temporary)
        try:
            temporary.rename(target)  # over an empty folder, but not over a full one
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise FileExistsError(f"{target} exists already") from error
        sync(parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(handle)
        with contextlib.suppress(OSError):  # one with something in it stays
            for folder in missing:
                folder.rmdir()


def _locked_folder(parent: Path, name: str) -> tuple[Path, int]:
    """A new temporary folder, and the handle that holds its lock: so that nobody takes it for a killed process's."""
    while True:
        temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=parent))
        with contextlib.suppress(FileNotFoundError):
            temporary.chmod(0o777 & ~umask())  # mkdtemp's 0700 would keep the user's group out
            handle = os.open(temporary, os.O_RDONLY)
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:
                return temporary, handle
            os.close(handle)  # another process removed it before it was locked


def _remove_unused(folder: Path) -> None:
    """Removes a temporary folder unless a living process has it locked."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)


def umask() -> int:
    """The permissions that new files and folders of this process do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
