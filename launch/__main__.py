"""Checks configs (`check`), runs ablation grids (`ablate`), serves rollouts (`serve`), and writes Slurm scripts (`slurm`)."""

import argparse
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from data_mix import locks
from data_mix.errors import InputError, exit_code
from eval.generation import machine
from launch import serve


def ablate(path: str, slots: int, dry_run: bool, cell: int | None) -> int:
    """Runs the unfinished jobs of an ablation or of one cell, then writes the report; returns 1 if a job failed."""
    from launch import ablation, check_jobs, records, scheduler

    if slots > 1 and machine.has_gpu():
        raise InputError(f"--jobs is {slots}, but jobs would share the GPUs; leave it out, or use `slurm --array-over`")
    cores = len(os.sched_getaffinity(0))
    if not 1 <= slots <= cores:
        raise InputError(f"--jobs is {slots}; each job needs its own core, so give 1 to {cores}")
    # how long torchrun waits for processes that save a checkpoint before they end
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "600")
    grid = ablation.read(path)
    selected = grid if cell is None else ablation.select_cell(grid, cell)
    made_from = records.make_records(selected)
    records.check_folders(selected, made_from)
    if grid.out.is_dir() and not dry_run:
        locks.lock(grid.out, shared=cell is not None).close()  # refuse it now: checking the jobs takes seconds
    done = sum(job.is_done() for job in selected.jobs.values())
    if done < len(selected.jobs) and (status := check_jobs.run_checks(path)):
        return status
    print(f"{len(selected.cells)} cells, {len(selected.jobs)} jobs, {done} of them done", flush=True)
    if dry_run:
        for job in selected.jobs.values():
            print(f"{'done' if job.is_done() else 'todo'} {job.name}: {shlex.join(job.command)}")
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # handle a batch system's SIGTERM like Ctrl-C
    with locks.lock(grid.out, shared=cell is not None):
        ablation.link_cells(grid)
        failed = scheduler.run(selected, slots, made_from)
        if cell is None or all(job.is_done() for job in grid.jobs.values()):
            subprocess.run([sys.executable, "-m", "eval", "report", str(grid.out)], check=False)
    if failed:
        counts = f"{len(failed)} of {len(selected.jobs)} jobs"
        print(f"error: {counts} failed or were skipped (see above); run the same command to retry them", file=sys.stderr)
    return 1 if failed else 0


def slurm(args: argparse.Namespace, fields: list[str], made_by: list[str]) -> int:
    """Prints or submits a batch script; `made_by` is the command line that is recorded in it."""
    from launch import ablation
    from launch import slurm as batch

    batch.check_arguments(made_by)
    names = ("nodes", "gpus_per_node", "cpus_per_node", "vllm_nodes", "time", "partition", "after", "sbatch", "setup")
    if args.gpus_per_node is None:
        args.gpus_per_node = 1 if args.array_over else 8
    resources = batch.Resources(**{name: getattr(args, name) for name in names})
    if args.array_over:
        grid = ablation.read(args.array_over)
        if args.recipe and not any(Path(args.recipe).stem in cell for cell in grid.cells.values()):
            raise InputError(f"{args.recipe}: not a stage of {args.array_over}; omit it, each cell runs all its stages")
        job = batch.ablation_job(args.array_over, grid, args.max_parallel, resources, made_by)
    elif args.recipe:
        job = batch.recipe_job(args.recipe, fields, resources, args.accelerate, made_by)
    else:
        raise InputError("no recipe; give one, such as recipes/grpo.py --config CONFIG.yaml, or --array-over ABLATION.yaml")
    print(job.submit() if args.submit else job.render())
    return 0


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code, 2 for invalid input."""
    parser = argparse.ArgumentParser(prog="python -m launch", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="find problems in configs without loading a model", add_help=False)
    command = commands.add_parser("ablate", help="run a grid of experiments, or resume it")
    command.add_argument("file", metavar="ABLATION.yaml")
    command.add_argument("--jobs", type=int, default=1, metavar="N", help="parallel jobs; cores are divided among them (1)")
    command.add_argument("--cell", type=int, metavar="N", help="run only this cell, as a job array's tasks do")
    command.add_argument("--slurm", action="store_true", help="submit as a job array; for options see `slurm --array-over`")
    command.add_argument("--dry-run", action="store_true", help="list the jobs and their commands (--slurm: print the script)")
    serve.add_arguments(commands.add_parser("serve", help="start the vLLM server of a GRPO or STaR run", allow_abbrev=False))
    command = commands.add_parser("slurm", help="write a Slurm batch script; other arguments are passed to the recipe")
    command.add_argument("recipe", nargs="?", metavar="RECIPE", help="recipes/sft.py, recipes/grpo.py or recipes/star.py")
    command.add_argument("--nodes", type=int, default=1, metavar="N", help="training nodes (1)")
    command.add_argument("--gpus-per-node", type=int, metavar="G", help="0 for CPU (8; 1 for an ablation)")
    command.add_argument("--cpus-per-node", type=int, metavar="C", help="CPU cores per node (exclusive nodes)")
    command.add_argument("--vllm-nodes", type=int, default=0, metavar="V", help="vLLM server nodes (0: vLLM in the trainer)")
    command.add_argument("--accelerate", metavar="NAME", help="a config in launch/accelerate (zero2; star ddp; CPU cpu)")
    command.add_argument("--time", default="24:00:00", help="time limit; the run saves before it and requeues (24:00:00)")
    command.add_argument("--partition", help="Slurm partition (the cluster's default)")
    command.add_argument("--after", metavar="JOB", help="start once this job, or 12:13 once both, have succeeded")
    command.add_argument(
        "--sbatch",
        action="append",
        default=[],
        metavar="OPTION",
        help="an sbatch option, as --sbatch=--account=abc; repeatable",
    )
    command.add_argument("--setup", metavar="FILE", help="shell lines to run first, such as `module load cuda`; they are code")
    command.add_argument("--array-over", metavar="ABLATION.yaml", help="job array with one task per cell, instead of a recipe")
    command.add_argument("--max-parallel", type=int, metavar="M", help="array tasks that run at the same time (no limit)")
    command.add_argument("--submit", action="store_true", help="submit with sbatch instead of printing")
    argv = sys.argv[1:] if argv is None else argv
    args, fields = parser.parse_known_args(argv)
    if args.command == "ablate" and args.slurm:
        if args.cell is not None or args.jobs != 1:
            parser.error("--slurm makes one array task per cell: omit --cell and --jobs, or use `slurm --array-over`")
        args = parser.parse_args(["slurm", "--array-over", args.file, *([] if args.dry_run else ["--submit"])])
    if args.command == "check":
        return subprocess.run([sys.executable, "-m", "recipes.training.preflight", *fields], check=False).returncode
    if fields and args.command != "serve" and (args.command != "slurm" or not args.recipe or args.array_over):
        parser.error(f"unrecognized arguments: {' '.join(fields)}")
    status = 0

    def run() -> None:
        nonlocal status
        if args.command == "slurm":
            status = slurm(args, fields, ["python", "-m", "launch", *argv])
        elif args.command == "serve":
            serve.serve(args, fields)
        else:
            status = ablate(args.file, args.jobs, args.dry_run, args.cell)

    try:
        return exit_code(run) or status
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
