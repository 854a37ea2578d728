"""Checks the fields of an ablation's jobs as the jobs will read them."""

import contextlib
import io
import multiprocessing
import sys
from pathlib import Path

from data_mix.errors import InputError, exit_code


def run_checks(path: str) -> int:
    """Runs `check_jobs` in a child, which reports a mistake in one line and exits with 2; returns its exit code.

    The recipes' fields are TRL's: the child imports it, and the launcher, which may run for days, does not.
    """
    child = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(exit_code(lambda: check_jobs(path))))
    child.start()
    child.join()
    return child.exitcode


def check_jobs(path: str) -> None:
    """Raises InputError for a field or argument that a stage does not know, or a value that it does not accept."""
    from launch import ablation

    for job in ablation.read(path).jobs.values():
        try:
            _check(job.command)
        except InputError as error:
            raise InputError(f"{path}: {job.name}: {error}") from None


def _check(command: list[str]) -> None:
    from data_mix.mixture_config import load_config
    from eval.__main__ import make_parser, to_config

    if "--config" in command:
        place = command.index("--config")
        _check_recipe(Path(command[place - 1]).stem, command[place:], launched=command[0] != sys.executable)
    elif "build" in command:
        settings = command[command.index("--set") + 1 :] if "--set" in command else []
        load_config(command[command.index("build") + 1], settings)
    else:
        try:
            with contextlib.redirect_stderr(io.StringIO()) as usage:
                arguments = make_parser().parse_args(command[command.index("run") :])
        except SystemExit:
            raise InputError(usage.getvalue().splitlines()[-1].partition("error: ")[2]) from None
        to_config(arguments).check_values()


def _check_recipe(recipe: str, arguments: list[str], launched: bool) -> None:
    from recipes.training import config

    classes = config.classes_of(recipe)
    if launched:  # which batch sizes the classes accept depends on the number of processes
        config.parse_fields(recipe, classes, arguments)
    else:  # on a login node, too, so without what the classes accept only on a GPU
        config.parse(recipe, classes, [*arguments, "--use_cpu", "true", "--bf16", "false", "--fp16", "false"])
