"""Completions as they come: written beside the eval folder every few seconds, so that a killed run loses no more than that."""

import json
import shutil
import time
from pathlib import Path

EVERY = 5.0  # seconds between two parts


class Parts:
    """What an eval run has generated so far, in `.NAME.run/` beside the folder that it will be.

    Each problem is in exactly one part, and a part is there whole or not at all. A run goes on from parts that were made with
    the same settings; those of another run are thrown away.
    """

    def __init__(self, out: str, settings: dict) -> None:
        """`settings` is whatever decides the completions, as JSON."""
        self.folder = Path(out).with_name(f".{Path(out).name}.run")
        made_with = self.folder / "settings.json"
        if not made_with.is_file() or json.loads(made_with.read_text(encoding="utf-8")) != settings:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            made_with.write_text(json.dumps(settings), encoding="utf-8")
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
            path = self.folder / f"part-{len(list(self.folder.glob('*.parquet'))):05d}.parquet"
            aside = path.with_suffix(".part")
            pq.write_table(pa.Table.from_pylist(rows), aside)
            aside.rename(path)
        self.fresh, self.written = [], time.monotonic()

    def remove(self) -> None:
        """Ends it, once the eval folder is there."""
        shutil.rmtree(self.folder)

    def _read(self) -> None:
        import pyarrow.parquet as pq

        for path in sorted(self.folder.glob("*.parquet")):
            self.done |= {row["number"]: row["samples"] for row in pq.read_table(path).to_pylist()}
