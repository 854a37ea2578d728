"""Completions as they come: written beside the eval folder every few seconds, so that a killed run loses no more than that."""

import json
import shutil
import time
from pathlib import Path

from data_mix import files, locks
from data_mix.errors import InputError

EVERY = 5.0  # seconds between two parts


class Spool:
    """What an eval run has generated so far, in `.NAME.run/` beside the folder that it will be, which is locked meanwhile.

    Each problem is in exactly one part, and a part is there whole or not at all.
    """

    def __init__(self, out: str, settings: dict) -> None:
        """Resumes from the parts that are there, if any.

        Args:
            out: the eval folder.
            settings: whatever decides the completions, as JSON.

        Raises:
            InputError: when another process has them, or they were made with other settings.
        """
        target = Path(out).resolve()
        self.folder = target.with_name(f".{target.name}.run")
        self.lock = locks.lock(self.folder)
        if any(self.folder.glob("*.parquet")):
            _check_settings(self.folder, settings)
        else:
            files.write_text(self.folder / "settings.json", json.dumps(settings))
        self.done: dict[int, list[list[int]]] = {}
        self.fresh: list[int] = []
        self.written = time.monotonic()
        self._read()

    def add(self, number: int, samples: list[list[int]]) -> None:
        """Takes the generated ids of one problem."""
        self.done[number] = samples
        self.fresh.append(number)
        if time.monotonic() - self.written > EVERY:
            self.flush()

    def flush(self) -> None:
        """Writes what came since the last part."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self.fresh:
            rows = [{"number": number, "samples": self.done[number]} for number in self.fresh]
            number = len(list(self.folder.glob("*.parquet")))
            with files.new_file(self.folder / f"part-{number:05d}.parquet") as path:
                pq.write_table(pa.Table.from_pylist(rows), path)
        self.fresh, self.written = [], time.monotonic()

    def remove(self) -> None:
        """Ends it, once the eval folder is there."""
        shutil.rmtree(self.folder, ignore_errors=True)  # another process may be trying the lock just now
        self.lock.close()

    def _read(self) -> None:
        import pyarrow.parquet as pq

        for path in sorted(self.folder.glob("*.parquet")):
            self.done |= {row["number"]: row["samples"] for row in pq.read_table(path).to_pylist()}


def _check_settings(folder: Path, settings: dict) -> None:
    """Raises InputError unless the parts in `folder` were made with these settings: they may be hours of work."""
    try:
        before = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        raise InputError(
            f"{folder} holds completions of an unknown eval: its settings.json cannot be read; remove the folder first"
        ) from None
    changed = [name for name in settings if before.get(name) != settings[name]]
    if changed:
        was = f"{changed[0]} was {before.get(changed[0])!r} and is {settings[changed[0]]!r}"
        raise InputError(
            f"{folder} holds completions of an interrupted eval with other settings ({was}); "
            "run that one again to resume it, give another --out, or remove this folder first"
        )
