"""Runs recipes and evals in children of one process that has imported torch, TRL and vLLM: seconds less for each.

`python -m tests.forked` reads one JSON line per program, with its argv, cwd, env and the files for stdout and stderr (out and
err), and replies with its exit status. launch/fork_server.py has one log per program, and neither cwd nor env. A variable that
is read at an import, such as OMP_NUM_THREADS, has no effect in a forked program.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from eval.generation import machine
from launch import fork_server

ROOT = Path(__file__).parents[1]


class ForkServer:
    """The process from which programs are forked; starts with the first program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen | None = None

    def run(self, argv: list[str], cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess:
        """Runs `python ARGV` to its end."""
        if self.process is None:
            line, pipe = [sys.executable, "-m", "tests.forked"], subprocess.PIPE
            self.process = subprocess.Popen(line, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        out, err = self.folder / "out", self.folder / "err"
        request = {"argv": argv, "cwd": str(cwd), "env": env, "out": str(out), "err": str(err)}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        status = int(self.process.stdout.readline())
        return subprocess.CompletedProcess([sys.executable, *argv], status, out.read_text(), err.read_text())

    def close(self) -> None:
        """Ends the process."""
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()


def run_program(argv: list[str]) -> None:
    """Runs `python ARGV` in this process."""
    if argv[0] == "-c":
        sys.argv = ["-c", *argv[2:]]
        exec(compile(argv[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        fork_server.run_program(argv)


def serve() -> None:
    """Runs one program per input line until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            machine.end_with_parent()
            os.chdir(request["cwd"])
            os.environ.update(request["env"])
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            opened = os.open(os.devnull, os.O_RDONLY), os.open(request["out"], flags), os.open(request["err"], flags)
            for target, source in enumerate(opened):
                os.dup2(source, target)
            run_program(request["argv"])
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    machine.prepare()
    fork_server.import_libraries()
    serve()
