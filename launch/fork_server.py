"""A process that has imported torch, TRL and vLLM, and forks programs from there: each saves the seconds that imports take.

`python -m launch.fork_server` reads one JSON line per program, `{"argv": ["-m", "eval", "run", ...], "log": PATH}`, runs it in
a forked child and replies with its exit status. CPU only: CUDA does not survive a fork. Each slot of `launch ablate` has one.

Why not multiprocessing's forkserver (tried on Python 3.11 to 3.13):

- A process has one such server for all slots, but OMP_NUM_THREADS is read when torch is imported: with slots of one and two
  cores, the job on one core ran two threads.
- Children skip atexit handlers before 3.13, and since then those of preloaded modules (python/cpython#83856). That includes
  `weakref.finalize`, so temporary folders are left behind.
- `Process.start()` blocks the scheduler until all imports are done (7 s).
- SIGTERM, sessions and the link to the launcher's life would be side effects of importing a preloaded module.
"""

import atexit
import contextlib
import gc
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
    """Imports what recipes and evals use, to be shared by forks; a missing one is reported by the program that needs it."""
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # or else the collector of each child, last when it exits, copies every page: 3 s of CPU


def run_program(argv: list[str]) -> None:
    """Runs `python ARGV` in this process."""
    if argv[0] == "-m":
        sys.argv = argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = argv
        sys.path.insert(0, str(Path(argv[0]).parent))
        runpy.run_path(argv[0], run_name="__main__")


def serve() -> None:
    """Runs one program per input line until the input ends.

    The launcher sends SIGTERM to the process group. Only the child acts on it: a recipe saves a checkpoint first.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            machine.end_with_parent()
            log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
                os.dup2(source, target)
            run_program(request["argv"])
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    # Registered first and so called last, in each child as well: what triton takes for leaks at exit stays out of the logs.
    atexit.register(os.dup2, os.open(os.devnull, os.O_WRONLY), 2)
    machine.prepare()
    import_libraries()
    serve()
