"""Runs recipes, evals and `accelerate launch` in children of one process that has imported the libraries, to save seconds.

launch/fork_server.py does the same for one program at a time, with one log and no folder or environment of its own. A variable
that is read at an import, except OMP_NUM_THREADS, has no effect in a forked program.
"""

import importlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

from eval.generation import machine
from launch import fork_server

ROOT = Path(__file__).parents[1]

# An executable that behaves like `python`, for torchrun to start its processes with (PYTHON_EXEC): it has one forked.
EXECUTABLE = """#!{python} -IS
import os, signal, sys
from multiprocessing.connection import Client

connection = Client({address!r})
argv = sys.argv[1:]
files = [f"/proc/{{os.getpid()}}/fd/{{number}}" for number in (1, 2)]
connection.send((argv[argv[0] == "-u" :], os.getcwd(), dict(os.environ), files))
pid = connection.recv()
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: os.kill(pid, number))
status = connection.recv()
sys.exit(128 - status if status < 0 else status)
"""


@dataclass
class Program:
    """A forked program, with the methods of subprocess.Popen; stdout and stderr go to `files`."""

    connection: Connection
    pid: int
    files: tuple[Path, Path]
    returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status; None while it runs."""
        return self.wait() if self.returncode is None and self.connection.poll() else self.returncode

    def wait(self) -> int:
        """The exit status, once it has ended."""
        if self.returncode is None:
            self.returncode = self.connection.recv()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless the program has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def communicate(self) -> tuple[str, str]:
        """Waits for the end; returns what was written to stdout and stderr."""
        self.wait()
        return self.files[0].read_text(), self.files[1].read_text()


class ForkServer:
    """The process from which programs are forked; starts with the first program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen | None = None
        self.started = 0

    def start(self, argv: list[str], cwd: Path, env: dict[str, str]) -> Program:
        """Starts `python ARGV`."""
        address, executable = str(self.folder / "socket"), self.folder / "python"
        if self.process is None:
            executable.write_text(EXECUTABLE.format(python=sys.executable, address=address))
            executable.chmod(0o755)
            line = [sys.executable, "-m", "tests.forked", address]
            self.process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE)
            self.process.stdout.readline()  # once it listens
        self.started += 1
        files = self.folder / f"{self.started}.out", self.folder / f"{self.started}.err"
        connection = Client(address)
        connection.send((argv, str(cwd), {"PYTHON_EXEC": str(executable), **env}, list(map(str, files))))
        return Program(connection, connection.recv(), files)

    def close(self) -> None:
        """Ends the process and all programs that still run."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def run_program(argv: list[str], cwd: str, env: dict[str, str], files: list[str]) -> None:
    """Runs `python ARGV` in this process."""
    import torch  # in the server alone; its clients need nothing of it

    os.chdir(cwd)
    os.environ.update(env)
    if "OMP_NUM_THREADS" in env:
        torch.set_num_threads(int(env["OMP_NUM_THREADS"]))
    opened = [os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for file in files]
    for target, source in enumerate([os.open(os.devnull, os.O_RDONLY), *opened]):
        os.dup2(source, target)
    if argv[0] == "-c":
        sys.argv = ["-c", *argv[2:]]
        exec(compile(argv[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        fork_server.run_program(argv)


def serve(address: str) -> None:
    """Runs one program per connection: sends its pid, then its exit status. A process for each connection waits for that."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for these processes
    with Listener(address) as listener:
        print("listening", flush=True)
        while True:
            with listener.accept() as connection:
                if os.fork():
                    continue
                machine.end_with_parent()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                request = connection.recv()
                child = os.fork()
                if child == 0:
                    machine.end_with_parent()
                    signal.signal(signal.SIGINT, signal.default_int_handler)
                    run_program(*request)
                    sys.exit(0)
                connection.send(child)
                connection.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
                os._exit(0)


if __name__ == "__main__":
    machine.end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    machine.prepare()
    importlib.import_module("accelerate.commands.launch")
    fork_server.import_libraries()
    serve(sys.argv[1])
