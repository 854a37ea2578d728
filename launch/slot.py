"""A slot of the scheduler: a set of CPU cores, and the processes that run jobs on them one after another."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from eval.generation import machine


class Slot:
    """A set of CPU cores reserved for one job at a time.

    Python programs are forked from the slot's fork server, unless the machine has a GPU. Other commands (a `launcher:`) are
    started directly.
    """

    def __init__(self, cores: tuple[int, ...]) -> None:
        self.cores = cores
        self.server: subprocess.Popen | None = None
        self.direct: subprocess.Popen | None = None

    def start(self, command: list[str], log: Path) -> None:
        """Starts a command, with stdout and stderr going to `log`."""
        if command[0] != sys.executable or Path("/proc/driver/nvidia/version").exists():
            with log.open("w") as out:
                self.direct = self._spawn(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            return
        if self.server is None or self.server.poll() is not None:
            pipe = subprocess.PIPE
            self.server = self._spawn([sys.executable, "-m", "launch.fork_server"], stdin=pipe, stdout=pipe, text=True)
        self.server.stdin.write(json.dumps({"argv": command[1:], "log": str(log.resolve())}) + "\n")
        self.server.stdin.flush()

    def poll(self) -> int | None:
        """The exit status of the job, once, when it has ended; None while it runs."""
        if self.direct is not None:
            status = self.direct.poll()
            if status is not None:
                self.direct = None
            return status
        if not select.select([self.server.stdout], [], [], 0)[0]:
            return None
        return int(self.server.stdout.readline() or 1)  # end of file: the server died, and its child with it

    def close(self) -> None:
        """Terminates the running job and waits for it: a recipe saves a checkpoint first."""
        for process in (self.server, self.direct):
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                if process.stdin:
                    process.stdin.close()
                process.wait()

    def _spawn(self, command: list[str], **streams) -> subprocess.Popen:
        def confine() -> None:
            os.sched_setaffinity(0, self.cores)
            machine.end_with_parent()

        return subprocess.Popen(command, preexec_fn=confine, start_new_session=True, **streams)
