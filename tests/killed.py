"""Kills a program at random moments, again and again, until its result is there.

    python -m tests.killed FILE KILLS LOW HIGH ARGV ...


The program is `python ARGV`, each time forked from this process, which has imported the libraries, so that twenty starts do
not take minutes. It is killed after LOW to HIGH seconds, KILLS times at most, and let go on then. Prints how often it was.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from eval import machine, parts, warm

if __name__ == "__main__":
    machine.prepare()
    warm.import_libraries()
    parts.EVERY = 0.05
    result, wanted, low, high = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    random.seed(0)
    kills, ended = 0, 0
    while not ended and not result.exists():
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            warm.run_program(sys.argv[5:])
            sys.exit(0)
        deadline = time.monotonic() + random.uniform(low, high)
        while not ended and (kills == wanted or time.monotonic() < deadline):
            ended, _ = os.waitpid(pid, os.WNOHANG)
            time.sleep(0.02)
        if not ended:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            kills += 1
    print(kills)
