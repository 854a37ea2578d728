"""log.jsonl: every logged step of a run as one JSON object."""

import json
import time
from pathlib import Path

from transformers import TrainerCallback

from data_mix import files


class JsonlLog(TrainerCallback):
    """Appends every log entry to `log.jsonl` as one JSON object with its step and the seconds since the run began."""

    def __init__(self, output_dir: str) -> None:
        self.path = Path(output_dir) / "log.jsonl"
        self.began = time.monotonic()

    def on_log(self, args, state, control, logs=None, **_) -> None:
        """Called by the trainer with each log entry."""
        if state.is_world_process_zero:
            self.write(state.global_step, logs)

    def forget_after(self, step: int) -> None:
        """Drops entries of later steps, or all when `step` is 0: a run that is resumed there writes them again."""
        if self.path.is_file():
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
            files.write_text(self.path, "".join(f"{line}\n" for line in lines if step and _step_of(line) <= step))

    def write(self, step: int, figures: dict) -> None:
        """Appends one entry."""
        entry = {"step": step, "seconds": round(time.monotonic() - self.began, 3), **figures}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def _step_of(line: str) -> float:
    """The step of a line of log.jsonl, infinity for one that a kill or a crash has cut."""
    try:
        return json.loads(line)["step"]
    except (ValueError, LookupError, TypeError):
        return float("inf")
