"""Folder locks: the holder is named, its lock ends with it, and file systems without locks are tolerated."""

import errno
import fcntl
import subprocess
import sys

import pytest

from data_mix import locks
from data_mix.errors import InputError


def test_the_holder_is_named_and_its_lock_is_released_when_it_is_killed(tmp_path):
    code = "import pathlib, sys; from data_mix import locks\n"
    code += "held = locks.lock(pathlib.Path(sys.argv[1])); print(flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    holder.stdout.readline()
    with pytest.raises(InputError, match=rf"in use by process {holder.pid} on \S+, started 20"):
        locks.lock(tmp_path)
    holder.kill()
    holder.wait()
    locks.lock(tmp_path).close()


def test_processes_of_one_run_share_a_lock_and_exclude_others(tmp_path):
    first = locks.lock(tmp_path)
    locks.share(first)
    second = locks.lock(tmp_path, shared=True)
    first.close()
    with pytest.raises(InputError, match="in use"):
        locks.lock(tmp_path)
    second.close()
    locks.lock(tmp_path).close()


def test_a_folder_that_cannot_be_written_to_is_a_one_line_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written to"):
        locks.lock(tmp_path / "file" / "run")


def test_without_locks_a_note_is_printed_and_there_is_no_error(tmp_path, monkeypatch, capsys):
    """As on Lustre without `flock`, simulated by a failing system call."""

    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    held = locks.lock(tmp_path)
    locks.share(held)
    assert locks.try_lock(tmp_path / "job.lock") is not None
    assert "no locks" in capsys.readouterr().err
