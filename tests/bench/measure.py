"""Helpers of the benchmarks: run commands, alternate two implementations, print comparisons for `python -m tests.bench`."""

import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def choose_dtype() -> str:
    """The precision in which recipes train SmolLM2-135M on this CPU. Imports torch, so `machine.prepare` must come first."""
    from eval.generation import machine

    return "bfloat16" if machine.has_bfloat16() else "float32"


def words(**options: object) -> list[str]:
    """Options as command-line words: `--name value ...`."""
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def run(line: list[object], env: dict[str, str] | None = None) -> tuple[str, float]:
    """Runs a command in the repository root; returns its stdout and its peak memory in GiB.

    Raises:
        RuntimeError: if the command fails; contains the end of its stderr.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(list(map(str, line)), cwd=ROOT, env=env, stdout=out, stderr=err)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0), err.seek(0)
        if process.returncode:
            raise RuntimeError(err.read()[-3000:])
        return out.read(), used.ru_maxrss / 2**20


def read_log(folder: Path) -> list[dict]:
    """The entries of a run's log.jsonl."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def alternate(ours: Callable[[], int], reference: Callable[[], int], repeats: int) -> tuple[list[float], list[float]]:
    """Items per second of two alternating functions, after a warm-up call of each; a function returns its number of items."""
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


def publish(name: str, ours: Sequence[float], reference: Sequence[float], unit: str) -> None:
    """Prints a comparison as a line of JSON: both medians, and the median over repeats of how many times better ours is.

    Args:
        name: name of the comparison.
        ours: one figure per repeat.
        reference: the same for the alternative.
        unit: unit of both. Lower is better for `s`, `ms` and `GiB`, higher for anything else.
    """
    pairs = list(zip(ours, reference, strict=True))
    ratio = statistics.median(b / a if unit.split()[0] in ("s", "ms", "GiB") else a / b for a, b in pairs)
    figures = {
        "ours": round(statistics.median(ours), 3),
        "reference": round(statistics.median(reference), 3),
        "ratio": round(ratio, 2),
        "unit": unit,
        "repeats": len(pairs),
        "command": shlex.join(["python", os.path.relpath(sys.argv[0], ROOT), *sys.argv[1:]]),
    }
    print(json.dumps({name: figures}), flush=True)
