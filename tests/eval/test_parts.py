"""An eval that is killed again and again ends with every completion once, and with the metrics of one that was not."""

import pytest

from eval.folder import read_completions, read_metrics
from eval.parts import Parts

# The commands' own `main`, in children of a process that has everything imported, so that twenty starts do not take minutes.
KILLED = """
import os, random, signal, sys, time
from eval import machine
machine.prepare()
import torch, transformers, vllm
from eval import __main__, parts
parts.EVERY = 0.05
random.seed(0)
kills = 0
while True:
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os._exit(__main__.main(sys.argv[1:]))
    ended, deadline = 0, time.monotonic() + random.uniform(2, 7)
    while not ended and (kills == 20 or time.monotonic() < deadline):
        ended, status = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.02)
    if ended:
        print(kills, os.waitstatus_to_exitcode(status))
        break
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    kills += 1
"""


@pytest.fixture
def arguments(parity_run):
    where = ["--model", parity_run / "sft", "--mixture", parity_run / "mixture"]
    return ["run", *where, "--samples", 48, "--temperature", 1.0]


def test_killed_at_twenty_random_moments(command, arguments, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command("-m", "eval", *arguments, "--out", whole)
    said = command("-c", KILLED, *arguments, "--out", killed, OMP_NUM_THREADS="1").stdout.split("\n")
    kills, status = map(int, said[-2].split())
    assert status == 0 and kills > 2
    ours, theirs = (read_completions(str(folder))[0] for folder in (killed, whole))
    assert [(row["problem_id"], row["sample"]) for row in ours] == [(row["problem_id"], row["sample"]) for row in theirs]
    assert read_metrics(str(killed)) == read_metrics(str(whole))
    assert not list(tmp_path.glob(".killed*"))


def test_parts_of_other_settings_are_not_taken(tmp_path):
    parts = Parts(str(tmp_path / "e"), {"seed": 0})
    parts.add(3, [[1, 2], [3]])
    parts.flush()
    assert Parts(str(tmp_path / "e"), {"seed": 0}).done == {3: [[1, 2], [3]]}
    assert Parts(str(tmp_path / "e"), {"seed": 1}).done == {}
    assert not Parts(str(tmp_path / "e"), {"seed": 1}).done
