"""What is wrong with a run, gathered before anything is loaded: all of it, not only the first."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from data_mix.errors import InputError


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        level: `error`, which stops the run, or `note`, which does not.
        where: the config's field, or the part of the runtime environment (`versions`, `disk`, `memory`).
        what: what is wrong, with the value.
        do: what to do about it.
    """

    level: str
    where: str
    what: str
    do: str

    def __str__(self) -> str:
        """As one line that names the field."""
        line = f"{self.what}; {self.do}" if self.do else self.what
        return line if self.where in line else f"{self.where}: {line}"


@dataclass
class Findings:
    """The findings so far. Messages are `what; what to do`, as everywhere; one may begin with one of `fields`."""

    all: list[Finding] = field(default_factory=list)
    fields: set[str] = field(default_factory=set)

    @contextlib.contextmanager
    def of(self, where: str) -> Iterator[None]:
        """Turns an InputError into a finding about `where`."""
        try:
            yield
        except InputError as error:
            self.add("error", where, str(error))

    def note(self, where: str, message: str) -> None:
        """Adds what the user should know, but may want."""
        self.add("note", where, message)

    def add(self, level: str, where: str, message: str) -> None:
        """Adds `what; what to do`."""
        what, _, do = message.partition("; ")
        first = what.split()[0].rstrip(":")
        self.all.append(Finding(level, first if first in self.fields else where, what, do))

    def errors(self) -> list[Finding]:
        """Those that stop a run."""
        return [one for one in self.all if one.level == "error"]

    def raise_if_errors(self) -> None:
        """Prints the notes; raises InputError with a line for each error."""
        for one in self.all:
            if one.level == "note":
                print(f"note: {one}", file=sys.stderr)
        if self.errors():
            raise InputError("\nerror: ".join(map(str, self.errors())))
