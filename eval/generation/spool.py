"""Saves completions beside the eval folder every few seconds during generation, so that a killed run can be resumed."""

import json
import shutil
import time
from pathlib import Path

from data_mix import files, locks
from data_mix.errors import InputError

FLUSH_SECONDS = 5.0  # between two parts


class Spool:
    """The completions an eval run has generated so far, in a locked folder `.NAME.run/` beside the eval folder NAME.

    Each problem is in exactly one part file. Part files are written atomically.
    """

    def __init__(self, out: str, settings: dict) -> None:
        """Locks the folder and reads the parts in it, if any.

        Args:
            out: the eval folder.
            settings: everything that determines the completions; JSON.

        Raises:
            InputError: when another process holds the lock, or the parts were generated with other settings.
        """
        target = Path(out).resolve()
        self.folder = target.with_name(f".{target.name}.run")
        self.lock = locks.lock(self.folder)
        if any(self.folder.glob("*.parquet")):
            _check_settings(self.folder, settings)
        else:
            files.write_text(self.folder / "settings.json", json.dumps(settings))
        self.done: dict[int, list[list[int]]] = {}
        self.unwritten: list[int] = []
        self.flushed_at = time.monotonic()
        self._read()

    def add(self, number: int, samples: list[list[int]]) -> None:
        """Adds the generated ids of one problem, one list per sample."""
        self.done[number] = samples
        self.unwritten.append(number)
        if time.monotonic() - self.flushed_at > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes the completions since the last flush as a new part."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self.unwritten:
            rows = [{"number": number, "samples": self.done[number]} for number in self.unwritten]
            number = len(list(self.folder.glob("*.parquet")))
            with files.new_file(self.folder / f"part-{number:05d}.parquet") as path:
                pq.write_table(pa.Table.from_pylist(rows), path)
        self.unwritten, self.flushed_at = [], time.monotonic()

    def remove(self) -> None:
        """Removes the spool, after the eval folder was written."""
        shutil.rmtree(self.folder, ignore_errors=True)  # another process may be opening the lock file
        self.lock.close()

    def _read(self) -> None:
        for path in sorted(self.folder.glob("*.parquet")):
            rows = files.read_parquet(path, ("number", "samples")).to_pylist()
            self.done |= {row["number"]: row["samples"] for row in rows}


def find_changes(before: dict, settings: dict) -> list[str]:
    """The settings that differ from those stored before. One that an older version did not store counts as unchanged."""
    return [name for name in settings if before.get(name, settings[name]) != settings[name]]


def _check_settings(folder: Path, settings: dict) -> None:
    """Raises InputError unless the parts in `folder` were generated with these settings. They may be hours of work."""
    try:
        before = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        raise InputError(
            f"{folder} holds completions with unknown settings (its settings.json cannot be read); remove the folder"
        ) from None
    if changed := find_changes(before, settings):
        change = f"{changed[0]} was {before.get(changed[0])!r}, now {settings[changed[0]]!r}"
        raise InputError(
            f"{folder} holds completions of an interrupted eval with other settings ({change}); "
            "rerun that eval to resume it, give another --out, or remove this folder"
        )
