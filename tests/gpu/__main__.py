"""Runs the rows one after another, or the named ones, and prints a table of what works, with figures.

    python -m tests.gpu [ROW ...] [--list] [--cpu] [--out runs/gpu]

Needs an NVIDIA GPU; `--cpu` runs the rows that work without one, which tests this package. Logs and report.txt, which has all
that is printed, go into a new folder in --out. A failing row prints what to put in a bug report.
"""

import argparse
import functools
import shlex
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_mix.errors import InputError, exit_code, nearest
from tests.gpu import machine, pipelines, rollouts, speed, training
from tests.gpu.lab import Lab, RowError
from tests.gpu.machine import GPU


@dataclass(frozen=True)
class Row:
    """A row of the table: what runs, and what it needs.

    Attributes:
        run: returns the row's figures; raises RowError with those that are not within their bars.
        what: one line for --list.
        gpus: that it needs.
        memory: GiB that the first GPU needs.
        cpu: whether it also runs without GPUs.
    """

    run: Callable[[Lab], str]
    what: str
    gpus: int = 1
    memory: int = 0
    cpu: bool = True

    @property
    def needs(self) -> str:
        """What it needs, in words."""
        size = f" with {self.memory} GiB" if self.memory else ""
        return f"needs {self.gpus} GPU{'s' * (self.gpus > 1)}{size}{' or --cpu' * self.cpu}"

    def can_run(self, gpus: list[GPU]) -> bool:
        """Whether it can run on these GPUs, or on CPU if there are none."""
        if not gpus:
            return self.cpu
        return len(gpus) >= self.gpus and gpus[0].memory >= self.memory * 2**30


def sharded(config: str) -> Row:
    """The row of a config in launch/accelerate."""
    run = functools.partial(training.sharded, config=config)
    return Row(run, f"SFT and GRPO in two processes, with launch/accelerate/{config}.yaml", gpus=2)


def timed(name: str, shape: dict, memory: int) -> Row:
    """The row of a model's speed."""
    what = f"tokens/s, MFU and memory of SFT and GRPO, with the shape of {name} and random weights"
    return Row(functools.partial(speed.speed, shape=shape), what, memory=memory, cpu=False)


ROWS = {
    "sft": Row(training.sft, "SFT from scratch in bf16 has the losses of float32 on CPU"),
    "grpo-colocate": Row(rollouts.colocate, "GRPO with an engine in the process: the log-prob gap"),
    "grpo-sleep": Row(rollouts.sleep, "the same with vllm_enable_sleep_mode", cpu=False),
    "lora": Row(rollouts.lora, "the same with a LoRA adapter, which is merged for each push of the weights"),
    "server-files": Row(
        functools.partial(rollouts.serve, weight_push="files"), "the same through `launch serve`, with weights through files"
    ),
    "server-nccl": Row(
        functools.partial(rollouts.serve, weight_push="nccl"),
        "the same through NCCL, with the server on the second GPU",
        gpus=2,
        cpu=False,
    ),
    "resume": Row(pipelines.resume, "GRPO that is killed after step 2 resumes from its checkpoint"),
    "zero2": sharded("zero2"),
    "zero3": sharded("zero3"),
    "fsdp2": sharded("fsdp2"),
    "demo": Row(pipelines.demo, "the stages of `make demo`, with the demo's bars"),
    "speed-135m": timed("SmolLM2-135M", speed.SMOLLM2_135M, memory=20),
    "speed-1b": timed("Llama-3.2-1B", speed.LLAMA_1B, memory=70),
}


def format_row(name: str, result: str, seconds: float, figures: str) -> str:
    """A line of the table."""
    return f"{name:<14} {result:<7} {seconds:>4.0f} s  {figures}"


def describe_failure(name: str, reason: str, lab: Lab, facts: str) -> str:
    """What to put in a bug report, as a paragraph: the commands that did not end well, else the last one."""
    lines = [f"--- {name} failed; please report the following, with the logs in {lab.row} ---", f"{name}: {reason}", facts]
    for command in [command for command in lab.commands if command.process.returncode] or lab.commands[-1:]:
        end = command.log.read_text(errors="replace").splitlines()[-30:]
        lines += [f"command: {command.shown}", f"end of {command.log}:", *(f"    {line}" for line in end)]
    return "\n".join(lines)


def run_rows(names: list[str], lab: Lab, say: Callable[[str], None]) -> list[str]:
    """Runs rows and says what comes out; returns the names of those that failed."""
    facts = machine.describe(lab.gpus)
    say(f"{facts}\nlogs: {lab.folder}")
    table, reports = [], {}
    for name in names:
        if not ROWS[name].can_run(lab.gpus):
            table.append(format_row(name, "skipped", 0, ROWS[name].needs))
        else:
            lab.begin(name)
            began = time.monotonic()
            try:
                result, figures = "pass", ROWS[name].run(lab)
            except Exception as error:  # also of reading a log that is not as expected; the other rows run all the same
                result, figures = "FAIL", str(error) if isinstance(error, RowError) else repr(error)
                reason = figures if isinstance(error, RowError) else traceback.format_exc()
                reports[name] = describe_failure(name, reason, lab, facts)
            table.append(format_row(name, result, time.monotonic() - began, figures))
        say(table[-1])
    say("\n".join(["", *(f"{report}\n" for report in reports.values()), *table] if reports else [""]))
    say(f"{len(reports)} of {len(names)} rows failed" if reports else "no row failed")
    return list(reports)


def main(argv: list[str] | None = None) -> int:
    """Returns 1 if a row failed, 2 for invalid input."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="by default all")
    parser.add_argument("--list", action="store_true", help="list the rows")
    parser.add_argument("--cpu", action="store_true", help="run without GPUs")
    parser.add_argument("--out", default="runs/gpu", type=Path, help="parent of this call's folder (runs/gpu)")
    args = parser.parse_args(argv)
    failed = []

    def run() -> None:
        if args.list:
            for name, row in ROWS.items():
                print(f"{name:<14} {row.what} ({row.needs})")
            return
        for name in args.rows:
            if name not in ROWS:
                raise InputError(f"there is no row {name}{nearest(name, ROWS)}", f"the rows are {', '.join(ROWS)}")
        gpus = [] if args.cpu else machine.find_gpus()
        folder = args.out.resolve() / time.strftime("%Y%m%d-%H%M%S")
        folder.mkdir(parents=True)
        with (folder / "report.txt").open("w") as report:

            def say(text: str) -> None:
                for file in (sys.stdout, report):
                    print(text, file=file, flush=True)

            say(f"command: {shlex.join(['python', '-m', 'tests.gpu', *(sys.argv[1:] if argv is None else argv)])}")
            failed.extend(run_rows(args.rows or list(ROWS), Lab(folder, gpus), say))

    try:
        return exit_code(run) or bool(failed)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
