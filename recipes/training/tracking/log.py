"""log.jsonl: one JSON object per log entry."""

import json
import time
from pathlib import Path

from transformers import TrainerCallback

from data_mix import files


class JsonlLog(TrainerCallback):
    """Appends each log entry to `log.jsonl`, with its step and the seconds since this process created the log."""

    def __init__(self, output_dir: str) -> None:
        self.path = Path(output_dir) / "log.jsonl"
        self.began = time.monotonic()

    def on_log(self, args, state, control, logs=None, **_) -> None:
        """Called by the trainer with each log entry."""
        if state.is_world_process_zero:
            self.write(state.global_step, logs)

    def truncate(self, step: int) -> None:
        """Drops the entries after `step`, or all when it is 0: a run resumed from there writes them again."""
        if self.path.is_file():
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
            files.write_text(self.path, "".join(f"{line}\n" for line in lines if step and _step_of(line) <= step))

    def write(self, step: int, metrics: dict) -> None:
        """Appends one entry."""
        entry = {"step": step, "seconds": round(time.monotonic() - self.began, 3), **metrics}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def read_heldout(output_dir: str | Path) -> list[dict]:
    """The log entries with held-out results; empty if there is no log."""
    path = Path(output_dir) / "log.jsonl"
    entries = files.read_json_lines(path) if path.is_file() else []
    return [entry for entry in entries if "heldout/greedy/accuracy" in entry]


def _step_of(line: str) -> float:
    """The step of a line of log.jsonl; infinity for a line that was cut off by a kill or a crash."""
    try:
        return json.loads(line)["step"]
    except (ValueError, LookupError, TypeError):
        return float("inf")
