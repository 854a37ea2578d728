"""InputError, raised for wrong user input, and how commands report it."""

import difflib
import errno
import os
import sys
from collections.abc import Callable, Iterable


class InputError(ValueError):
    """Wrong user input. Commands print the message as one line, `problem; fix`, and exit with code 2."""

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(f"{problem}; {fix}" if fix else problem)
        self.problem, self.fix = problem, fix


def exit_code(command: Callable[[], object]) -> int:
    """Runs `command` and returns 0; on InputError, prints its message as one line and returns 2."""
    try:
        command()
        sys.stdout.flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head`; the interpreter flushes once more when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        print(f"error: {error.filename}: no such file or folder; its name is too long", file=sys.stderr)
        return 2
    return 0


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest of `known`, or an empty string."""
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""
