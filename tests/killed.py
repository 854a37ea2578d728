"""Runs a program once undisturbed, and then, killed at twenty random moments, as often as that takes.

    python -m tests.killed RESULT OPTION OUT ARGV ...

The program is `python ARGV OPTION FOLDER`: OUT/whole is the undisturbed folder, OUT/killed-1, OUT/killed-2, ... are those of
the others, each gone on with until RESULT, the file that the program writes last, is there. Each time it is forked from this
process, which has imported the libraries, so that twenty starts do not take minutes, and killed after a tenth to six tenths of
what the undisturbed run took. Prints how often.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from eval.generation import machine, spool, warm

KILLS = 20


def fork(argv: list[str]) -> int:
    """Starts the program, without its progress bars; returns its process."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        warm.run_program(argv)
        sys.exit(0)
    return pid


if __name__ == "__main__":
    machine.prepare()
    warm.import_libraries()
    spool.EVERY = 0.05
    result, option, out, *argv = sys.argv[1:]
    began = time.monotonic()
    os.waitpid(fork([*argv, option, f"{out}/whole"]), 0)
    took = time.monotonic() - began
    random.seed(0)
    kills, run = 0, 0
    while kills < KILLS:
        run += 1
        folder, ended = Path(out) / f"killed-{run}", 0
        while not ended and not (folder / result).exists():
            pid = fork([*argv, option, str(folder)])
            deadline = time.monotonic() + random.uniform(0.1, 0.6) * took
            while not ended and (kills == KILLS or time.monotonic() < deadline):
                ended, _ = os.waitpid(pid, os.WNOHANG)
                time.sleep(0.02)
            if not ended:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                kills += 1
    print(kills)
