"""Findings: the problems that the preflight checks report."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from data_mix.errors import InputError


@dataclass(frozen=True)
class Finding:
    """A problem with a run's config or runtime environment.

    Attributes:
        field: the config field, or the part of the runtime environment (`versions`, `memory`, `disk`, ...).
        problem: what is wrong, with the value.
        fix: what to do about it; empty if a library's error does not say.
        level: `error`, which stops the run, or `note`, which does not.
    """

    field: str
    problem: str
    fix: str
    level: str = "error"

    def __str__(self) -> str:
        """One line, which names the field."""
        line = f"{self.problem}; {self.fix}" if self.fix else self.problem
        return line if line.startswith(self.field) else f"{self.field}: {line}"


def raise_if_errors(findings: Sequence[Finding]) -> None:
    """Prints the notes; raises one InputError with a line for each error."""
    for finding in findings:
        if finding.level == "note":
            print(f"note: {finding}", file=sys.stderr)
    errors = [str(finding) for finding in findings if finding.level == "error"]
    if errors:
        raise InputError("\nerror: ".join(errors))
