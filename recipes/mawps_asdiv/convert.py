"""Makes `train.jsonl`, which `task: svamp` reads, of the MAWPS and ASDiv-A problems in the repository of SVAMP.

    git clone https://github.com/arkilpatel/SVAMP
    python recipes/mawps_asdiv/convert.py SVAMP/data/mawps-asdiv-a_svamp/train.csv --out data/mawps_asdiv/train.jsonl

There, a problem has `number0`, `number1`, ... in place of its numbers, and a prefix equation. The numbers are put back, and the
equation is written infix. Repeated problems and those whose equation does not give their answer exactly are left out.
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


def infix(prefix: list[str]) -> str:
    """Takes one expression off the front of a prefix equation's words: `- 5 * 2 2` gives `( 5 - ( 2 * 2 ) )`."""
    word = prefix.pop(0)
    if word not in "+-*/":
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


def main(source: str, out: str) -> None:
    """Converts a CSV file."""
    problems: dict[str, dict] = {}
    with open(source, encoding="utf-8", newline="") as file:
        for problem in filter(None, map(convert, csv.DictReader(file))):
            problems.setdefault(f"{problem['Body']} {problem['Question']}".lower(), problem)
    lines = [json.dumps({"ID": f"train-{number}", **problem}) for number, problem in enumerate(problems.values())]
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    files.write_text(Path(out), "\n".join(lines) + "\n")
    print(f"{out}: {len(lines)} problems")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="TRAIN.csv")
    parser.add_argument("--out", required=True, metavar="FILE.jsonl")
    args = parser.parse_args()
    sys.exit(exit_code(lambda: main(args.source, args.out)))
