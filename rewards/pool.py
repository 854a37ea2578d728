"""The verifier pool: worker processes for the answers that only a computer algebra system can compare.

Started at the first such answer, one a core, shared by all threads of the process. An item that outlives its deadline is
`timeout`: its worker is killed and replaced, the others go on. A worker that ends for another reason is replaced and the item
asked once more; the second time it is `error`. Workers end with their parent, however it ends: they read the end of their
pipe, or, at work, their own alarm.
"""

import atexit
import contextlib
import functools
import json
import logging
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

DEADLINE = 5.0  # seconds an item
OUTCOMES = ("correct", "wrong", "timeout", "error")  # what a worker may say
_START = 120.0  # seconds a worker may take to import sympy, on a busy machine
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR")  # and no token or key
_log = logging.getLogger(__name__)


class WorkerError(Exception):
    """A worker did not start, ended, or said what it should not have."""


class Worker:
    """One worker process."""

    def __init__(self) -> None:
        """Starts it; raises WorkerError when it does not come up."""
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        line = [sys.executable, "-m", "rewards.worker"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        try:
            self.process = subprocess.Popen(line, cwd=Path(__file__).parents[1], env=environment, **pipes)
        except OSError as error:
            raise WorkerError(f"no process: {error}") from None
        if self._reply(_START) != "ready":
            self.stop()
            raise WorkerError("it did not start")

    def judge(self, predicted: str, gold: str, deadline: float) -> tuple[str, float]:
        """The outcome, one of OUTCOMES, and its milliseconds. After `timeout` the worker is stopped.

        Raises:
            WorkerError: when the worker ended by itself or said something else; it is stopped then, too.
        """
        began = time.perf_counter()
        try:
            self.process.stdin.write(json.dumps([predicted, gold, deadline]).encode() + b"\n")
            self.process.stdin.flush()
            reply = self._reply(deadline)
        except OSError:  # a broken pipe
            reply = ""
        ms = 1000 * (time.perf_counter() - began)
        if reply in OUTCOMES:
            return reply, ms
        self.stop()
        if reply is None or self.process.returncode == -signal.SIGALRM:
            return "timeout", ms
        raise WorkerError(f"it said {reply[:40]!r} and ended with status {self.process.returncode}")

    def _reply(self, seconds: float) -> str | None:
        """The next line; empty when the worker has closed its end or cannot be polled, None when nothing came in time."""
        try:
            with selectors.DefaultSelector() as selector:  # select() takes no file number above 1,023
                selector.register(self.process.stdout, selectors.EVENT_READ)
                return self.process.stdout.readline().decode().strip() if selector.select(seconds) else None
        except OSError:  # no file number left for the selector
            return ""

    def stop(self) -> None:
        """Ends the process and waits for it."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stdin):
            with contextlib.suppress(OSError):  # what was still to be written to it
                pipe.close()


class VerifierPool:
    """As many workers as the process has cores, at most four; started when they are first needed."""

    def __init__(self, deadline: float = DEADLINE) -> None:
        size = min(4, len(os.sched_getaffinity(0)))
        self.deadline, self.idle, self.threads = deadline, queue.LifoQueue(), ThreadPoolExecutor(size)
        for _ in range(size):
            self.idle.put(None)  # a place for a worker that is not started yet
        atexit.register(self.close)

    def judge(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, float]]:
        """The outcome of each (predicted, gold), in order, one of OUTCOMES; and its milliseconds."""
        return list(self.threads.map(self._judge_one, pairs))

    def _judge_one(self, pair: tuple[str, str]) -> tuple[str, float]:
        worker = self.idle.get()
        try:
            for _ in range(2):
                try:
                    worker = worker or Worker()
                    return worker.judge(*pair, self.deadline)
                except WorkerError as error:
                    _log.warning("a verifier worker is replaced: %s", error)
                    worker = None
            return "error", 0.0
        finally:
            self.idle.put(worker if worker and worker.process.poll() is None else None)

    def close(self) -> None:
        """Stops the workers."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        while not self.idle.empty():
            worker = self.idle.get()
            if worker:
                worker.stop()


_lock = threading.Lock()


def shared() -> VerifierPool:
    """This process's pool; a forked child gets one of its own."""
    with _lock:
        return _pool_of(os.getpid())


@functools.cache
def _pool_of(pid: int) -> VerifierPool:
    return VerifierPool()
