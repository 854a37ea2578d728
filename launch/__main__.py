"""The commands of launch: `check` runs a recipe's own checks on its configs without a model, `ablate` a grid of runs."""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

from data_mix.errors import InputError, exit_code

RECIPES = Path(__file__).parents[1] / "recipes"


def check(configs: list[str]) -> int:
    """Checks each config with the recipe that it is named after (sft.yaml: recipes/sft.py); 0 if all pass, else 2."""
    worst = 0
    for config in configs:
        script = RECIPES / f"{Path(config).stem}.py"
        if not script.is_file():
            print(
                f"error: {config}: no recipe of that name; a config is named after its recipe: sft.yaml, grpo.yaml",
                file=sys.stderr,
            )
            worst = 2
            continue
        result = subprocess.run([sys.executable, str(script), "--config", config, "--check_only", "true"], check=False)
        if result.returncode:
            worst = 2
        else:
            print(f"{config}: passes")
    return worst


def ablate(path: str, slots: int, dry_run: bool) -> int:
    """Runs what an ablation has not done yet, then draws its report; 1 when a job failed."""
    from launch import ablation, scheduler

    cores = len(os.sched_getaffinity(0))
    if not 1 <= slots <= cores:
        raise InputError(f"--jobs is {slots}; each job gets cores of its own, and there are {cores}")
    grid = ablation.read(path)
    scheduler.check_finished(grid)
    done = sum(job.is_done() for job in grid.jobs.values())
    print(f"{len(grid.cells)} cells, {len(grid.jobs)} jobs, {done} of them done")
    if dry_run:
        for job in grid.jobs.values():
            print(f"{'done' if job.is_done() else 'todo'} {job.name}: {shlex.join(job.command)}")
        return 0
    with scheduler.lock(grid.out):
        ablation.link_cells(grid)
        lost = scheduler.run(grid, slots)
        subprocess.run([sys.executable, "-m", "eval", "report", str(grid.out)], check=False)
    if lost:
        print(
            f"error: {len(lost)} of {len(grid.jobs)} jobs are not done (see above); the same command tries them again",
            file=sys.stderr,
        )
    return 1 if lost else 0


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code, 2 for wrong input."""
    parser = argparse.ArgumentParser(prog="python -m launch", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    checked = commands.add_parser("check", help="check configs of recipes without loading a model")
    checked.add_argument("configs", nargs="+", metavar="CONFIG.yaml")
    ablated = commands.add_parser("ablate", help="run a grid; the same command goes on after an interruption")
    ablated.add_argument("file", metavar="ABLATION.yaml")
    ablated.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at the same time, the cores shared out (1)")
    ablated.add_argument("--dry-run", action="store_true", help="list the jobs and their commands")
    args = parser.parse_args(argv)
    if args.command == "check":
        return check(args.configs)
    status = 0

    def run() -> None:
        nonlocal status
        status = ablate(args.file, args.jobs, args.dry_run)

    try:
        return exit_code(run) or status
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
