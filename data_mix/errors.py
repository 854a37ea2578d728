"""The one exception a user is meant to read: a line that says what is wrong, where, and what to do."""

import difflib
import sys
from collections.abc import Callable, Iterable


class InputError(ValueError):
    """Wrong input. Commands print the message as one line and exit with code 2."""


def exit_code(command: Callable[[], object]) -> int:
    """Runs `command`; 0, or 2 after an InputError, whose message is printed as one line."""
    try:
        command()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known name closest to `name`, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""
