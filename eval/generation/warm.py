"""Starts Python programs from a process that has imported the libraries already: each saves the seconds that importing takes.

`python -m eval.generation.warm` reads a JSON line for each program, `{"argv": ["-m", "eval", "run", ...], "log": PATH}`, runs
it in a forked child, and answers with a line that holds its exit status. `python -m launch ablate` keeps one for each of its
slots. CPU alone: a forked process cannot use a GPU that its parent has touched.
"""

import contextlib
import importlib
import json
import os
import runpy
import signal
import sys
from pathlib import Path

from eval.generation import machine

LIBRARIES = ("torch", "transformers", "datasets", "accelerate", "trl.trainer.grpo_trainer", "trl.trainer.sft_trainer", "vllm")


def import_libraries() -> None:
    """Imports what the programs will need."""
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):  # the program that needs it will say so
            importlib.import_module(name)


def run_program(argv: list[str]) -> None:
    """Runs `python ARGV` in this process, as the interpreter would."""
    if argv[0] == "-m":
        sys.argv = argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = argv
        sys.path.insert(0, str(Path(argv[0]).parent))
        runpy.run_path(argv[0], run_name="__main__")


def serve() -> None:
    """Answers requests until the input ends. A child leaves by what its program raises, as a program of its own would.

    SIGTERM, which comes to parent and child alike, is the child's: a recipe saves what it has first.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for ours, stream in ((nothing, 0), (log, 1), (log, 2)):
                os.dup2(ours, stream)
            sys.stdin = os.fdopen(nothing)
            machine.end_with_parent()
            run_program(request["argv"])
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    machine.prepare()
    import_libraries()
    serve()
