"""Atomic writes: a file or folder is either complete or absent, even after a crash of the machine. And reads of such files.

Everything is written under a temporary name in the same folder, flushed to disk, and renamed.
"""

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from data_mix.errors import InputError


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Reports every exception of json, pyarrow and the system for a missing or broken file as an InputError that names it."""
    import pyarrow as pa

    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, OverflowError, RecursionError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read ({reason(error)})") from None


def read_json(path: Path, keys: Collection[str] = ()) -> dict:
    """The JSON object in a file of ours.

    Raises:
        InputError: when the file is missing or broken, or the object lacks one of `keys`.
    """
    with reading(path):
        value = json.loads(path.read_text(encoding="utf-8"))
    missing = [key for key in keys if not isinstance(value, dict) or key not in value]
    if missing or not isinstance(value, dict):
        raise InputError(f"{path} is not a file that cotmix wrote" + (f": it has no '{missing[0]}'" if missing else ""))
    return value


def read_json_lines(path: Path) -> list[dict]:
    """The JSON objects in the lines of a file of ours. A broken last line without a newline is still being written: left out.

    Raises:
        InputError: when the file is missing, or another line is broken.
    """
    entries: list[dict] = []
    try:
        *lines, last = path.read_text(encoding="utf-8").split("\n")
        for line in lines:
            entries.append(dict(json.loads(line)))
        with contextlib.suppress(ValueError, TypeError):
            entries.append(dict(json.loads(last)))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}:{len(entries) + 1} cannot be read ({reason(error)})") from None
    return entries


def read_parquet(path: Path, columns: Collection[str] = (), only: bool = False, groups: int | None = None):
    """The table in a parquet file of ours, with at least these columns, or `only` these; of the first `groups` row groups.

    Raises:
        InputError: when the file is missing or broken, or lacks one of `columns`.
    """
    import pyarrow.parquet as pq

    with reading(path), pq.ParquetFile(path) as file:
        missing = [name for name in columns if name not in file.schema_arrow.names]
        if missing:
            raise InputError(f"{path} is not a file that cotmix wrote: it has no column '{missing[0]}'")
        chosen = range(file.num_row_groups)[:groups]
        return file.read_row_groups(chosen, columns=list(columns) if only else None)


def reason(error: Exception) -> str:
    """What an exception says, on one line."""
    return getattr(error, "strerror", None) or " ".join(str(error).split())[:150]


def sha256_of(file: Path) -> str:
    """The hex digest of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def temporary_path(path: Path) -> Path:
    """The hidden name next to `path` under which this process writes it."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def sync(path: Path) -> None:
    """Flushes a file, or the entries of a folder, to disk; otherwise a crash can leave a renamed file empty."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Flushes a folder and everything in it to disk."""
    for path in sorted(folder.rglob("*")):
        if not path.is_symlink():
            sync(path)
    sync(folder)


def replace(temporary: Path, path: Path) -> None:
    """Renames a written file to `path`, durably."""
    sync(temporary)
    os.replace(temporary, path)
    sync(path.parent)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yields a temporary name to write to, which is renamed to `path` at the end of the block.

    An existing file stays intact if the disk is full or the process is killed.
    """
    temporary = temporary_path(path)
    try:
        yield temporary
        replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file atomically."""
    with new_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yields a temporary folder to fill, which is renamed to `target` at the end of the block.

    Temporary folders of killed processes are removed first. After an exception nothing remains, including parent folders
    that were created here.

    Raises:
        FileExistsError: when another process has filled `target` in the meantime.
    """
    parent = target.parent
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    parent.mkdir(parents=True, exist_ok=True)
    for stale in parent.glob(f".{glob.escape(target.name)}.*.part"):
        _remove_unused(stale)
    temporary, handle = _locked_folder(parent, target.name)
    try:
        yield temporary
        sync_tree(temporary)
        try:
            temporary.rename(target)  # replaces an empty folder, fails on a non-empty one
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise FileExistsError(f"{target} exists already") from error
        sync(parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(handle)
        with contextlib.suppress(OSError):  # not empty
            for folder in missing:
                folder.rmdir()


def _locked_folder(parent: Path, name: str) -> tuple[Path, int]:
    """A new temporary folder and a handle that holds a lock on it, so that other processes do not remove it as stale."""
    while True:
        temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".part", dir=parent))
        with contextlib.suppress(FileNotFoundError):
            temporary.chmod(0o777 & ~umask())  # mkdtemp's 0700 would exclude the user's group
            handle = os.open(temporary, os.O_RDONLY)
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:
                return temporary, handle
            os.close(handle)  # another process removed it before it was locked


def _remove_unused(folder: Path) -> None:
    """Removes a temporary folder unless a running process holds its lock."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)


def umask() -> int:
    """The process's umask, which the standard library can only read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
