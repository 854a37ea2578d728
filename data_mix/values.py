"""Checks of single values read from YAML; `what` is the name of the field in error messages."""

import json
from typing import Any

from data_mix.errors import InputError


def number(value: Any, what: str, low: float, high: float = float("inf"), integer: bool = False) -> Any:
    """`value` if it is a number from `low` to `high`; raises InputError otherwise."""
    kind = "an integer" if integer else "a number"
    valid = isinstance(value, int if integer else (int, float)) and not isinstance(value, bool)
    if not valid or not low <= value <= high:
        limits = f"from {low} to {high}" if high < float("inf") else f"of at least {low}"
        raise InputError(f"{what} is {value!r}; it must be {kind} {limits}")
    return value


def check_text(value: Any, what: str, lines: bool = False) -> None:
    """Raises InputError unless `value` is text: one line of it, or any number of `lines`."""
    if not isinstance(value, str):
        raise InputError(f"{what} is {value!r}; it must be a string")
    if not lines and len(value.strip().splitlines()) != 1:
        raise InputError(f"{what} is {value!r}; it must be one line of text")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError(f"{what} is {value!r}; it contains an unpaired surrogate, which is not text")


def check_json(value: Any, what: str) -> None:
    """Raises InputError unless the manifest can store `value`: YAML also has dates and sets."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        raise InputError(f"{what} is {value!r}; write it as text, a number, a list or a mapping") from None
