"""A slot of the scheduler: some of the machine's cores, and the process that runs jobs on them, one after another."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from eval.generation import machine


class Slot:
    """Cores that one job at a time has for itself.

    Python programs are forked from a process that has imported the libraries already (`python -m eval.generation.warm`),
    where there is no GPU; what a launcher starts has a process of its own.
    """

    def __init__(self, cores: tuple[int, ...]) -> None:
        self.cores = cores
        self.warm: subprocess.Popen | None = None
        self.alone: subprocess.Popen | None = None

    def start(self, command: list[str], log: Path) -> None:
        """Starts a command, its output into `log`."""
        if command[0] != sys.executable or Path("/proc/driver/nvidia/version").exists():
            with log.open("w") as out:
                self.alone = self._open(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            return
        if self.warm is None or self.warm.poll() is not None:
            pipe = subprocess.PIPE
            self.warm = self._open([sys.executable, "-m", "eval.generation.warm"], stdin=pipe, stdout=pipe, text=True)
        self.warm.stdin.write(json.dumps({"argv": command[1:], "log": str(log.resolve())}) + "\n")
        self.warm.stdin.flush()

    def poll(self) -> int | None:
        """The exit status of what was started last, None while it runs."""
        if self.alone is not None:
            status = self.alone.poll()
            if status is not None:
                self.alone = None
            return status
        if not select.select([self.warm.stdout], [], [], 0)[0]:
            return None
        return int(self.warm.stdout.readline() or 1)  # nothing: it ended itself, and its job with it

    def close(self) -> None:
        """Ends it, with whatever still runs in it: a recipe saves what it has first."""
        for process in (self.warm, self.alone):
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                if process.stdin:
                    process.stdin.close()
                process.wait()

    def _open(self, command: list[str], **streams) -> subprocess.Popen:
        def confine() -> None:
            os.sched_setaffinity(0, self.cores)
            machine.end_with_parent()

        return subprocess.Popen(command, preexec_fn=confine, start_new_session=True, **streams)
