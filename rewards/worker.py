"""A verifier worker: reads pairs of answers as JSON lines, writes verdicts. Started by pool.py, `python -m rewards.worker`.

It trusts nothing that it reads. Memory and file sizes are limited, it has no network where the system lets it give it up,
and an alarm ends it when an item outlives its deadline, whether or not its parent is still there to see. Text is not evaluated:
latex2sympy2 would have Python's `eval` read the digits of a number (patches/sympy.py).
"""

import ctypes
import json
import os
import resource
import signal
import sys

MEMORY = 2 * 2**30  # bytes of address space
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # of unshare(2)


def confine() -> None:
    """Gives up what judging two answers does not need."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).unshare(NEW_USER | NEW_NETWORK)  # not everywhere allowed; then the limits above are what there is


def main() -> None:
    """Answers lines until the parent closes the pipe."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints does not mix with the replies
    os.environ["OMP_NUM_THREADS"] = "1"
    from rewards.equality import ask_math_verify
    from rewards.patches.sympy import convert_numbers

    ask_math_verify(r"\int_0^1 x\,dx", r"\frac{1}{2}")  # loads all of sympy that it takes
    convert_numbers()
    confine()
    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        predicted, gold, seconds = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, seconds)  # nobody handles the signal: it ends the process
        try:
            verdict = "correct" if ask_math_verify(predicted, gold) else "wrong"
        except MemoryError:
            verdict = "timeout"
        except Exception:  # math-verify and sympy raise many kinds; all of them are counted
            verdict = "error"
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(verdict, file=replies, flush=True)


if __name__ == "__main__":
    main()
