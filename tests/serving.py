"""A real `launch serve` for the tests."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.conftest import ROOT


class Server:
    """`launch serve` for the run with the fields `where`, whose last one is its output folder; the log is next to that."""

    def __init__(self, where: list[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.where, self.url, self.log = where, f"http://127.0.0.1:{self.port}", Path(f"{where[-1]}.log")
        self.start()

    def start(self) -> None:
        """Starts it, also after `kill`."""
        line = [sys.executable, "-m", "launch", "serve", "recipes/parity/grpo.yaml", "--port", str(self.port), *self.where]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(line, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)

    def wait_for(self, ready: Callable[[], bool]) -> None:
        """Waits until `ready()`; fails if it exits first, or after five minutes."""
        deadline = time.monotonic() + 300
        while not ready():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def is_healthy(self) -> bool:
        """Whether it answers."""
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/health").status_code == 200
        return False

    def post(self, path: str, token: str, **call) -> httpx.Response:
        """Sends a request with a token."""
        return httpx.post(self.url + path, json=call, headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def processes(self) -> dict[int, str]:
        """pid → command line of its processes that run."""
        line = ["ps", "-o", "pid=,stat=,args=", "--sid", str(self.process.pid)]
        lines = [one.split(None, 2) for one in subprocess.run(line, capture_output=True, text=True).stdout.splitlines()]
        return {int(pid): args for pid, state, args in lines if state[0] != "Z"}

    def wait_for_end(self) -> None:
        """Waits for it; fails if one of its processes is left ten seconds later."""
        self.process.wait(60)
        deadline = time.monotonic() + 10
        while self.processes():
            assert time.monotonic() < deadline, self.processes()
            time.sleep(0.2)

    def kill(self) -> None:
        """Kills it with all its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
