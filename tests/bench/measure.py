"""What the benchmarks share: running two ways in turn, and the line that `python -m tests.bench` gathers."""

import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable


def words(**options: object) -> list[str]:
    """Options as a command line has them."""
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def alternate(ours: Callable[[], int], reference: Callable[[], int], repeats: int) -> tuple[list[float], list[float]]:
    """How many a second each way makes, in turn, after one time each to warm up; a way returns how many it made."""
    rates: tuple[list[float], list[float]] = [], []
    for repeat in range(repeats + 1):
        for way, name, kept in zip((ours, reference), ("ours", "reference"), rates, strict=True):
            began = time.perf_counter()
            count = way()
            seconds = time.perf_counter() - began
            if repeat:
                kept.append(count / seconds)
            print(f"{name}: {count} in {seconds:.2f} s", flush=True)
    return rates


def publish(name: str, ours: list[float], reference: list[float], unit: str) -> None:
    """Prints the medians, and how many times better ours is (the median over the repeats), as a line of JSON.

    Args:
        name: of the comparison.
        ours: a figure a repeat.
        reference: the same of what a user would run otherwise.
        unit: of both; `s` is better when less, anything else when more.
    """
    pairs = list(zip(ours, reference, strict=True))
    ratio = statistics.median(b / a if unit.split()[0] == "s" else a / b for a, b in pairs)
    figures = {
        "ours": round(statistics.median(ours), 3),
        "reference": round(statistics.median(reference), 3),
        "ratio": round(ratio, 2),
        "unit": unit,
        "repeats": len(pairs),
        "command": shlex.join(["python", *sys.argv]),
    }
    print(json.dumps({name: figures}), flush=True)
