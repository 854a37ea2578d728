"""Runs a program once to completion, then kills and restarts it, eight kills in all, at moments spread over its run.

    python -m tests.killed RESULT OPTION OUT ARGV ...

The program is `python ARGV OPTION FOLDER`, with OUT/whole as the folder of the undisturbed run and OUT/killed-1, OUT/killed-2,
... for the others. Each of these is restarted until RESULT, the file that the program writes last, exists. Kills come after 0.1
to 0.6 of the time of the shortest run so far, one in each eighth of that: the first run can take twice as long as a later one,
and a moment that no run reaches would be waited for forever. Programs are forked from this process, which has imported the
libraries; otherwise the starts would take minutes. Prints the number of kills.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from eval.generation import machine, spool
from launch import fork_server

KILLS = 8


def fork(argv: list[str]) -> int:
    """Starts the program in a child process, without progress bars; returns its pid."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        fork_server.run_program(argv)
        sys.exit(0)
    return pid


if __name__ == "__main__":
    machine.prepare()
    fork_server.import_libraries()
    spool.FLUSH_SECONDS = 0.05
    result, option, out, *argv = sys.argv[1:]
    began = time.monotonic()
    os.waitpid(fork([*argv, option, f"{out}/whole"]), 0)
    duration = time.monotonic() - began
    random.seed(0)
    moments = [0.1 + 0.5 * (i + random.random()) / KILLS for i in range(KILLS)]
    random.shuffle(moments)
    kills, run = 0, 0
    while kills < KILLS:
        run += 1
        folder, ended = Path(out) / f"killed-{run}", 0
        while not ended and not (folder / result).exists():
            began, pid = time.monotonic(), fork([*argv, option, str(folder)])
            deadline = began + moments[kills % KILLS] * duration
            while not ended and (kills == KILLS or time.monotonic() < deadline):
                ended, _ = os.waitpid(pid, os.WNOHANG)
                time.sleep(0.02)
            if ended:
                duration = min(duration, time.monotonic() - began)
            if not ended and (folder / result).exists():  # only its end is left, after which nothing restarts it
                os.waitpid(pid, 0)
            elif not ended:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                kills += 1
    print(kills)
