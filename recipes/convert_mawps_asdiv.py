"""Converts SVAMP's repository into data for `task: svamp`: problems of MAWPS and ASDiv-A to train on, SVAMP to test on.

    git clone https://github.com/arkilpatel/SVAMP
    python recipes/convert_mawps_asdiv.py SVAMP --out data/mawps_asdiv

There, the problems of MAWPS and ASDiv-A have `number0`, `number1`, ... in place of their numbers, and a prefix equation. The
numbers are put back, and the equation is written infix. Repeated problems and those whose equation does not give their answer
exactly are left out.
"""

import argparse
import csv
import json
import re
import sys
from fractions import Fraction
from pathlib import Path

from data_mix import files
from data_mix.errors import InputError, exit_code
from data_mix.tasks.svamp import solve

TRAIN, TEST = "data/mawps-asdiv-a_svamp/train.csv", "SVAMP.json"


def infix(prefix: list[str]) -> str:
    """Takes one expression off the front of a prefix equation's words: `- 5 * 2 2` gives `( 5 - ( 2 * 2 ) )`."""
    word = prefix.pop(0)
    if word not in {"+", "-", "*", "/"}:
        return word
    left = infix(prefix)
    return f"( {left} {word} {infix(prefix)} )"


def convert(row: dict) -> dict | None:
    """A line of the CSV file as a problem, without an ID; None if its equation does not give its answer."""
    numbers = row["Numbers"].split()

    def fill(text: str, write) -> str:
        return re.sub(r"number(\d+)", lambda found: write(numbers[int(found[1])]), text)

    equation = infix(fill(row["Equation"], lambda number: str(float(number))).split())
    try:
        _, answer = solve(equation)
    except InputError:
        return None
    if answer != Fraction(row["Answer"]):
        return None
    body, question = (fill(row[name], lambda number: re.sub(r"\.0+$", "", number)) for name in ("Body", "Ques"))
    return {"Body": body, "Question": question, "Equation": equation, "Answer": float(answer)}


def read_problems(path: Path) -> list[dict]:
    """The problems of the CSV file, each once."""
    problems: dict[str, dict] = {}
    with open(path, encoding="utf-8", newline="") as file:
        for problem in filter(None, map(convert, csv.DictReader(file))):
            problems.setdefault(f"{problem['Body']} {problem['Question']}".lower(), problem)
    return [{"ID": f"train-{number}", **problem} for number, problem in enumerate(problems.values())]


def main(repository: Path, out: Path) -> None:
    """Writes OUT/train.jsonl and OUT/test.jsonl."""
    if missing := [name for name in (TRAIN, TEST) if not (repository / name).is_file()]:
        raise InputError(f"{repository}: has no {missing[0]}; give a clone of https://github.com/arkilpatel/SVAMP")
    splits = {"train": read_problems(repository / TRAIN), "test": json.loads((repository / TEST).read_text(encoding="utf-8"))}
    out.mkdir(parents=True, exist_ok=True)
    for split, problems in splits.items():
        files.write_text(out / f"{split}.jsonl", "".join(f"{json.dumps(problem)}\n" for problem in problems))
        print(f"{out / split}.jsonl: {len(problems)} problems")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path, metavar="SVAMP", help="clone of SVAMP's repository")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    args = parser.parse_args()
    sys.exit(exit_code(lambda: main(args.repository, args.out)))
