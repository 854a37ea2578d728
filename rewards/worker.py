"""A verifier worker: reads pairs of answers as JSON lines and writes outcomes. pool.py starts it, `python -m rewards.worker`.

Its input is untrusted. Memory is limited, files cannot be written, and the network is given up where the system allows it.
An alarm ends the process when an item exceeds its deadline, even if the parent is gone. No text is evaluated as Python:
patches/sympy.py stops latex2sympy2 from passing the digits of a number to `eval`.
"""

import ctypes
import json
import os
import resource
import signal
import sys

MEMORY = 2 * 2**30  # bytes of address space
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # flags of unshare(2)


def confine() -> None:
    """Drops the resources that comparing two answers does not need."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).unshare(CLONE_NEWUSER | CLONE_NEWNET)  # not allowed everywhere; the limits above always hold


def main() -> None:
    """Answers requests until the parent closes the pipe."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # keeps library output out of the replies
    os.environ["OMP_NUM_THREADS"] = "1"
    from rewards.equality import ask_math_verify
    from rewards.patches.sympy import convert_numbers

    ask_math_verify(r"\int_0^1 x\,dx", r"\frac{1}{2}")  # imports everything it needs before the limits apply
    convert_numbers()
    confine()
    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        predicted, gold, seconds = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, seconds)  # no handler: SIGALRM ends the process
        try:
            outcome = "correct" if ask_math_verify(predicted, gold) else "wrong"
        except MemoryError:
            outcome = "timeout"
        except Exception:  # math-verify and sympy raise many types
            outcome = "error"
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(outcome, file=replies, flush=True)


if __name__ == "__main__":
    main()
