"""The verifier pool: worker processes for the answers that only a computer algebra system can compare.

Started at the first such answer, one a core, shared by all threads of the process. An item that outlives its deadline is
`timeout`: its worker is killed and replaced, the others go on. Workers end with their parent, however it ends: they read
the end of their pipe, or, at work, their own alarm.
"""

import atexit
import functools
import json
import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

DEADLINE = 5.0  # seconds an item
_START = 120.0  # seconds a worker may take to import sympy, on a busy machine


class Worker:
    """One worker process."""

    def __init__(self) -> None:
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "LD_PRELOAD": ""}
        line = [sys.executable, "-m", "rewards.worker"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(line, cwd=Path(__file__).parents[1], env=environment, **pipes)
        self.ready = False

    def judge(self, predicted: str, gold: str, deadline: float) -> tuple[str, float]:
        """The outcome and its milliseconds; `timeout` when it did not come in time, and then the worker is of no more use."""
        try:
            if not self.ready:
                self.ready = self._reply(_START) == "ready"
            began = time.perf_counter()
            self.process.stdin.write(json.dumps([predicted, gold, deadline]).encode() + b"\n")
            self.process.stdin.flush()
            return self._reply(deadline) or "timeout", 1000 * (time.perf_counter() - began)
        except BrokenPipeError:
            return "error", 0.0

    def _reply(self, seconds: float) -> str:
        """The next line, or an empty one when the worker ended or the time did."""
        readable, _, _ = select.select([self.process.stdout], [], [], seconds)
        return self.process.stdout.readline().decode().strip() if readable else ""

    def stop(self) -> None:
        """Ends the process and waits for it."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Pool:
    """As many workers as the process has cores, at most four; started when they are first needed."""

    def __init__(self, deadline: float = DEADLINE) -> None:
        size = min(4, len(os.sched_getaffinity(0)))
        self.deadline, self.idle, self.threads = deadline, queue.LifoQueue(), ThreadPoolExecutor(size)
        for _ in range(size):
            self.idle.put(None)  # a place for a worker that is not started yet
        atexit.register(self.close)

    def judge(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, float]]:
        """The outcome of each (predicted, gold), in order: correct, wrong, timeout or error; and its milliseconds."""
        return list(self.threads.map(self._judge_one, pairs))

    def _judge_one(self, pair: tuple[str, str]) -> tuple[str, float]:
        worker = self.idle.get() or Worker()
        outcome, ms = worker.judge(*pair, self.deadline)
        if worker.process.poll() is not None or outcome == "timeout":
            worker.stop()
            worker = None
        self.idle.put(worker)
        return outcome, ms

    def close(self) -> None:
        """Stops the workers."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        while not self.idle.empty():
            worker = self.idle.get()
            if worker:
                worker.stop()


_lock = threading.Lock()


def shared() -> Pool:
    """This process's pool; a forked child gets one of its own."""
    with _lock:
        return _pool_of(os.getpid())


@functools.cache
def _pool_of(pid: int) -> Pool:
    return Pool()
