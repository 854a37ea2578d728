"""The commands of launch: `check` runs a recipe's own checks on its configs without a model, `ablate` a grid of runs, `slurm`
writes batch scripts."""

import argparse
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from data_mix import locks
from data_mix.errors import InputError, exit_code


def ablate(path: str, slots: int, dry_run: bool, cell: int | None) -> int:
    """Runs what an ablation (or one cell of it) has not done yet, then draws its report; 1 when a job failed."""
    from launch import ablation, scheduler

    cores = len(os.sched_getaffinity(0))
    if not 1 <= slots <= cores:
        raise InputError(f"--jobs is {slots}; each job gets cores of its own, and there are {cores}")
    whole = ablation.read(path)
    grid = whole if cell is None else ablation.only(whole, cell)
    scheduler.check_folders(grid)
    done = sum(job.is_done() for job in grid.jobs.values())
    print(f"{len(grid.cells)} cells, {len(grid.jobs)} jobs, {done} of them done", flush=True)
    if dry_run:
        for job in grid.jobs.values():
            print(f"{'done' if job.is_done() else 'todo'} {job.name}: {shlex.join(job.command)}")
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's Ctrl-C
    with locks.lock(grid.out, shared=cell is not None):
        ablation.link_cells(whole)
        failed = scheduler.run(grid, slots)
        if cell is None or all(job.is_done() for job in whole.jobs.values()):
            subprocess.run([sys.executable, "-m", "eval", "report", str(grid.out)], check=False)
    if failed:
        print(
            f"error: {len(failed)} of {len(grid.jobs)} jobs are not done (see above); the same command tries them again",
            file=sys.stderr,
        )
    return 1 if failed else 0


def slurm(args: argparse.Namespace, fields: list[str], made_by: list[str]) -> int:
    """Prints a batch script, or submits it; `made_by` are the words of this command."""
    from launch import ablation
    from launch import slurm as batch

    batch.check_words(made_by)
    names = ("nodes", "gpus_per_node", "cpus_per_node", "vllm_nodes", "time", "partition")
    if args.gpus_per_node is None:
        args.gpus_per_node = 1 if args.array_over else 8
    cluster = batch.Cluster(**{name: getattr(args, name) for name in names})
    if args.array_over:
        grid = ablation.read(args.array_over)
        if args.recipe and not any(Path(args.recipe).stem in cell for cell in grid.cells.values()):
            raise InputError(f"{args.recipe}: not a stage of {args.array_over}; leave it out, a cell has all its stages")
        job = batch.ablation_job(args.array_over, len(grid.cells), grid.out, args.max_parallel, cluster, made_by)
    elif args.recipe:
        job = batch.recipe_job(args.recipe, fields, cluster, args.accelerate, made_by)
    else:
        raise InputError("give a recipe, such as recipes/grpo.py --config CONFIG.yaml, or --array-over ABLATION.yaml")
    print(job.submit() if args.submit else job.render())
    return 0


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code, 2 for wrong input."""
    parser = argparse.ArgumentParser(prog="python -m launch", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="check configs of recipes without loading a model", add_help=False)
    ablated = commands.add_parser("ablate", help="run a grid; the same command resumes it after an interruption")
    ablated.add_argument("file", metavar="ABLATION.yaml")
    ablated.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at the same time, the cores shared out (1)")
    ablated.add_argument("--cell", type=int, metavar="N", help="one cell alone, as a task of a job array runs it")
    ablated.add_argument("--slurm", action="store_true", help="submit it as a job array; `slurm --array-over` has its options")
    ablated.add_argument("--dry-run", action="store_true", help="list the jobs and their commands")
    sent = commands.add_parser("slurm", help="write a batch script for Slurm; other arguments are the recipe's")
    sent.add_argument("recipe", nargs="?", metavar="RECIPE", help="recipes/sft.py, recipes/grpo.py or recipes/star.py")
    sent.add_argument("--nodes", type=int, default=1, metavar="N", help="that train (1)")
    sent.add_argument("--gpus-per-node", type=int, metavar="G", help="0 for CPU (8; 1 for a cell)")
    sent.add_argument("--cpus-per-node", type=int, metavar="C", help="the whole node if not given")
    sent.add_argument(
        "--vllm-nodes", type=int, default=0, metavar="V", help="more nodes, for a vLLM server (0: beside the trainer)"
    )
    sent.add_argument("--accelerate", metavar="NAME", help="a config of launch/accelerate (zero2; cpu without GPUs)")
    sent.add_argument("--time", default="24:00:00", help="limit; before it the run saves and queues again (24:00:00)")
    sent.add_argument("--partition", help="the cluster's default if not given")
    sent.add_argument("--array-over", metavar="ABLATION.yaml", help="a job array, a task a cell, in the place of a recipe")
    sent.add_argument("--max-parallel", type=int, metavar="M", help="tasks of the array at a time")
    sent.add_argument("--submit", action="store_true", help="hand it to sbatch; without it, print it")
    argv = sys.argv[1:] if argv is None else argv
    args, fields = parser.parse_known_args(argv)
    if args.command == "ablate" and args.slurm:
        args = parser.parse_args(["slurm", "--array-over", args.file, "--submit"])
    if args.command == "check":  # the recipes' own
        return subprocess.run([sys.executable, "-m", "recipes.training.preflight", *fields], check=False).returncode
    if fields and (args.command != "slurm" or not args.recipe or args.array_over):
        parser.error(f"unrecognized arguments: {' '.join(fields)}")
    status = 0

    def run() -> None:
        nonlocal status
        if args.command == "slurm":
            status = slurm(args, fields, ["python", "-m", "launch", *argv])
        else:
            status = ablate(args.file, args.jobs, args.dry_run, args.cell)

    try:
        return exit_code(run) or status
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
