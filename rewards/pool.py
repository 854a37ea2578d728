"""The verifier pool: worker processes for answers that only a computer algebra system can compare.

Workers start with the first such answer and are shared by all threads of the process. An item that exceeds its deadline is a
`timeout`: its worker is killed and replaced; other workers are unaffected. If a worker fails in any other way, it is replaced
and the item retried once; a second failure is an `error`. Workers end with their parent, even if it is killed: an idle one
sees its pipe close, a busy one is ended by its own alarm.
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

DEADLINE = 5.0  # seconds per item
OUTCOMES = ("correct", "wrong", "timeout", "error")  # a worker's valid replies
_START_TIMEOUT = 120.0  # seconds; importing sympy is slow on a busy machine
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR")  # no tokens or keys
_log = logging.getLogger(__name__)


class WorkerError(Exception):
    """A worker did not start, exited, or sent an invalid reply."""


class Worker:
    """One worker process."""

    def __init__(self) -> None:
        """Starts the process; raises WorkerError if it does not become ready."""
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        line = [sys.executable, "-m", "rewards.worker"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        try:
            self.process = subprocess.Popen(line, cwd=Path(__file__).parents[1], env=environment, **pipes)
        except OSError as error:
            raise WorkerError(f"cannot start a process: {error}") from None
        if self._reply(_START_TIMEOUT) != "ready":
            self.stop()
            raise WorkerError("it did not become ready")

    def judge(self, predicted: str, gold: str, deadline: float) -> tuple[str, float]:
        """The outcome, one of OUTCOMES, and the time in milliseconds. A `timeout` stops the worker.

        Raises:
            WorkerError: when the worker exited or sent an invalid reply. This also stops it.
        """
        start = time.perf_counter()
        try:
            self.process.stdin.write(json.dumps([predicted, gold, deadline]).encode() + b"\n")
            self.process.stdin.flush()
            reply = self._reply(deadline)
        except OSError:  # broken pipe
            reply = ""
        ms = 1000 * (time.perf_counter() - start)
        if reply in OUTCOMES:
            return reply, ms
        self.stop()
        if reply is None or self.process.returncode == -signal.SIGALRM:
            return "timeout", ms
        raise WorkerError(f"it replied {reply[:40]!r} and exited with status {self.process.returncode}")

    def _reply(self, seconds: float) -> str | None:
        """The next line; "" if the pipe is closed or cannot be polled, None after a timeout."""
        try:
            with selectors.DefaultSelector() as selector:  # select.select() rejects file descriptors above 1,023
                selector.register(self.process.stdout, selectors.EVENT_READ)
                return self.process.stdout.readline().decode().strip() if selector.select(seconds) else None
        except OSError:  # no free file descriptor for the selector
            return ""

    def stop(self) -> None:
        """Kills the process and waits for it."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stdin):
            with contextlib.suppress(OSError):  # unwritten data
                pipe.close()


class VerifierPool:
    """One worker per available core, at most four; each starts when it is first needed."""

    def __init__(self, deadline: float = DEADLINE) -> None:
        size = min(4, len(os.sched_getaffinity(0)))
        self.deadline, self.idle, self.threads = deadline, queue.LifoQueue(), ThreadPoolExecutor(size)
        for _ in range(size):
            self.idle.put(None)  # a slot without a running worker
        atexit.register(self.close)

    def judge(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, float]]:
        """For each (predicted, gold) pair, in order: the outcome, one of OUTCOMES, and the time in milliseconds."""
        return list(self.threads.map(self._judge_one, pairs))

    def _judge_one(self, pair: tuple[str, str]) -> tuple[str, float]:
        worker = self.idle.get()
        try:
            for _ in range(2):
                try:
                    worker = worker or Worker()
                    return worker.judge(*pair, self.deadline)
                except WorkerError as error:
                    _log.warning("replacing a verifier worker: %s", error)
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
    """The pool of this process; a forked child gets a new one."""
    with _lock:
        return _pool_of(os.getpid())


@functools.cache
def _pool_of(pid: int) -> VerifierPool:
    return VerifierPool()
