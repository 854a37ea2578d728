"""The verifier pool: order, deadlines, confinement, and no process left behind."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from rewards.pool import VerifierPool, WorkerError, shared

QUICK = (r"\int_0^1 x\,dx", r"\frac{1}{2}")


def outcomes_of(pool, pairs):
    return [outcome for outcome, _ in pool.judge(pairs)]


def test_outcomes_are_in_order_and_times_exclude_worker_start():
    pool = VerifierPool()
    judged = pool.judge([QUICK, (QUICK[0], "2"), QUICK])
    assert [outcome for outcome, _ in judged] == ["correct", "wrong", "correct"] and all(0 < ms < 5000 for _, ms in judged)
    pool.close()


def test_an_item_over_its_deadline_is_a_timeout_and_others_are_unaffected():
    impatient = VerifierPool(deadline=0.5)
    impatient.judge([QUICK])  # starts the workers before the clock
    start = time.monotonic()
    outcomes = outcomes_of(impatient, [("(10^8)!", "1"), QUICK, ("9^{9^{9^{9}}}", "1"), QUICK])
    assert outcomes == ["timeout", "correct", "timeout", "correct"]
    assert time.monotonic() - start < 60
    impatient.close()


def test_the_pool_serves_several_threads():
    outcomes = []
    threads = [threading.Thread(target=lambda: outcomes.append(outcomes_of(shared(), [QUICK] * 3))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [["correct"] * 3] * 4


def children_of(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(child) for child in listed.split()]


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("pair", [QUICK, ("(10^8)!", "1")])
def test_workers_idle_or_busy_end_when_the_parent_is_killed(pair):
    code = f"import threading; from rewards.pool import VerifierPool; pool = VerifierPool(2.0); pool.judge([{QUICK!r}])\n"
    code += f"print('ready', flush=True); pool.judge([{pair!r}]); threading.Event().wait()"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "ready\n"
    workers = children_of(parent.pid)
    assert workers
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(is_alive, workers))


def test_a_confined_worker_cannot_write_files_or_use_the_network(tmp_path):
    code = (
        "import socket, sys; from rewards.worker import confine; confine()\n"
        f"file = open({str(tmp_path / 'f')!r}, 'w')\n"
        "try:\n    file.write('x' * 10**6); file.flush()\nexcept OSError: print('no file')\n"
        "try:\n    socket.create_connection(('127.0.0.1', int(sys.argv[1])), 1)\nexcept OSError: print('no network')\n"
        "try:\n    bytearray(3 * 2**30)\nexcept MemoryError: print('no memory')\n"
    )
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        line = ["unshare", "--user", "--net", "true"]
        allowed = subprocess.run(line, capture_output=True, check=False).returncode == 0
        done = subprocess.run([sys.executable, "-c", code, port], capture_output=True, text=True, check=False)
    printed = done.stdout.split("\n")
    assert "no memory" in printed and ("no file" in printed or done.returncode == -signal.SIGXFSZ)
    assert "no network" in printed or not allowed


def test_a_dead_idle_worker_is_replaced():
    others = {*children_of(os.getpid())}  # such as the process that the tests fork recipes from
    pool = VerifierPool()
    assert outcomes_of(pool, [QUICK]) == ["correct"]
    for worker in filter(is_alive, {*children_of(os.getpid())} - others):
        os.kill(worker, signal.SIGKILL)
    assert outcomes_of(pool, [QUICK] * 4) == ["correct"] * 4
    pool.close()


def test_a_worker_that_does_not_start_in_time_is_an_error_and_is_cleaned_up(monkeypatch, caplog):
    pool = VerifierPool()
    with monkeypatch.context() as slow:
        slow.setattr("rewards.pool._START_TIMEOUT", 0.01)
        assert outcomes_of(pool, [QUICK]) == ["error"]
    assert "it did not become ready" in caplog.text
    assert outcomes_of(pool, [QUICK, (QUICK[0], "2")] * 2) == ["correct", "wrong"] * 2
    pool.close()


@pytest.mark.parametrize("reply", ["ready", "", "correct wrong"])
def test_a_worker_with_an_invalid_reply_is_stopped(reply):
    pool = VerifierPool()
    pool.judge([QUICK])
    worker = pool.idle.get()
    while worker is None:
        worker = pool.idle.get()
    worker.process.kill()
    worker.process.wait()
    line = ["sh", "-c", f"read line; echo {reply}"]
    worker.process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with pytest.raises(WorkerError, match="exited with status"):
        worker.judge(*QUICK, 5.0)
    assert worker.process.poll() is not None
    pool.close()


def test_the_pool_works_with_more_than_1024_open_files():
    code = (
        "import os, resource\n"
        "limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, 4096), limit))\n"
        "files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]\n"
        f"from rewards.pool import shared; print([outcome for outcome, _ in shared().judge([{QUICK!r}] * 3)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.strip() == "['correct', 'correct', 'correct']"


def test_a_worker_gets_no_tokens_and_does_not_evaluate_text(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    pool = VerifierPool()
    pool.judge([QUICK])
    [worker] = [one for one in (pool.idle.get() for _ in range(pool.idle.qsize())) if one]
    with open(f"/proc/{worker.process.pid}/environ") as environment:
        assert "secret" not in environment.read()
    worker.stop()

    code = (
        "from rewards.patches.sympy import convert_numbers; convert_numbers()\n"
        "import sympy\n"
        "print(sympy.Number('12') == 12, sympy.Number('6.5') == 6.5)\n"
        "sympy.Number('print(\"evaluated\")')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "True True\n" and "not a number" in done.stderr
