"""`eval report --watch` beside a process that writes a log, as a run does."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from data_mix.errors import InputError
from eval.report.watch import watch
from tests.conftest import ROOT

# Locks its folder and writes an entry every half a second, in two parts.
RUN = """
import sys, time
from pathlib import Path
from data_mix import locks
folder = Path(sys.argv[1])
held = locks.lock(folder)
for step in range(int(sys.argv[2])):
    with (folder / "log.jsonl").open("a") as file:
        file.write('{"step": %d, "loss": 0.5}\\n{"st' % step)
        file.flush()
        time.sleep(0.5)
        file.write('ep": %d}\\n' % step)
"""


def start(folder, steps):
    """A run of so many steps, once it has written its first."""
    process = subprocess.Popen([sys.executable, "-c", RUN, folder / "sft", str(steps)], cwd=ROOT)
    threading.Thread(target=process.wait).start()  # a process that nobody waits for counts as alive
    while not (folder / "sft" / "log.jsonl").is_file():
        time.sleep(0.02)
    return process


def test_the_report_follows_a_run_until_it_has_ended(tmp_path, capsys):
    process = start(tmp_path, 8)
    said = watch(str(tmp_path), poll=0.1, idle=0.5)
    assert process.poll() == 0 and "stage sft step 7" in said
    assert capsys.readouterr().err.count("report.html: written") > 1
    assert "http-equiv" not in (tmp_path / "report.html").read_text()


def test_ctrl_c_ends_it_quietly_and_the_open_page_reloads_itself(tmp_path):
    process = start(tmp_path, 1000)
    line = [sys.executable, "-m", "eval", "report", tmp_path, "--watch"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    watching = subprocess.Popen(line, cwd=ROOT, env=dict(os.environ), **pipes)
    try:
        while not (tmp_path / "report.html").is_file():
            assert watching.poll() is None
            time.sleep(0.05)
        assert '<meta http-equiv="refresh" content="3">' in (tmp_path / "report.html").read_text()
        watching.send_signal(signal.SIGINT)
        out, err = watching.communicate(timeout=60)
        assert watching.returncode == 130 and out == "" and "Traceback" not in err
    finally:
        process.kill()
        watching.kill()


def test_without_a_run_it_is_a_one_line_error(tmp_path):
    with pytest.raises(InputError, match="no log.jsonl of a stage"):
        watch(str(tmp_path), poll=0.1, idle=0.2)
    with pytest.raises(InputError, match="no log.jsonl of a stage"):
        watch(str(tmp_path / "nowhere"))
    (tmp_path / "evals.json").write_text("[]")
    with pytest.raises(InputError, match="this is an ablation"):
        watch(str(tmp_path))
