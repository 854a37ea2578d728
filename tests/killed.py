"""Runs a program once to completion, then kills and restarts it, eight kills in all, at moments spread over its run.

    python -m tests.killed RESULT OPTION OUT ARGV ...

The program is `python ARGV OPTION FOLDER`, with OUT/whole as the folder of the undisturbed run and OUT/killed-1, OUT/killed-2,
... for the others. Each of these is restarted until RESULT, the file that the program writes last, exists. Kills come after 0.1
to 0.7 of the time in which an undisturbed run writes RESULT (the shortest so far), one in each eighth of that. The time until a
program has exited can be twice as long: a kill would then come too late in every run. Programs are forked from this process,
which has imported the libraries; otherwise the starts would take minutes. Prints the number of kills.
"""

import math
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


def wait_for(result: Path, pid: int, seconds: float = math.inf) -> float | None:
    """Waits until the program has written the result and ended; kills it after the given time.

    Returns:
        the seconds until the result was there; None for a program that was killed.
    """
    began, ended = time.monotonic(), False
    while not result.exists():
        if ended:
            sys.exit(f"the program ended without writing {result}")
        if time.monotonic() - began > seconds:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(0.02)
        ended = os.waitpid(pid, os.WNOHANG)[0] == pid
    took = time.monotonic() - began
    if not ended:
        os.waitpid(pid, 0)
    return took


if __name__ == "__main__":
    machine.prepare()
    fork_server.import_libraries()
    spool.FLUSH_SECONDS = 0.05
    name, option, out, *argv = sys.argv[1:]
    shortest = wait_for(Path(out, "whole", name), fork([*argv, option, f"{out}/whole"]))
    random.seed(0)
    moments = [0.1 + 0.6 * (i + random.random()) / KILLS for i in range(KILLS)]
    random.shuffle(moments)
    kills, run = 0, 0
    while kills < KILLS:
        run += 1
        result, resumed = Path(out, f"killed-{run}", name), False
        while not result.exists():
            moment = moments[kills] * shortest if kills < KILLS else math.inf
            took = wait_for(result, fork([*argv, option, str(result.parent)]), moment)
            if took is None:
                kills, resumed = kills + 1, True
            elif not resumed:
                shortest = min(shortest, took)
    print(kills)
