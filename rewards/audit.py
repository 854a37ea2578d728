"""`python -m rewards audit`: what the verifier may be getting wrong in an evaluation.

It prints the completions that strict scoring, lenient scoring and math-verify judge differently. Then it prints the near
misses: answers judged wrong that resemble the gold answer, the most frequent first.
"""

import argparse
import collections
import json
import re
from pathlib import Path

_COMMAND = re.compile(r"\\[A-Za-z]+")
_KINDS = {"digits": "[0-9]", "letters": "[a-z]"}
_LONGEST = 60  # characters of an answer that are shown


def audit_file(args: argparse.Namespace) -> None:
    """Prints disagreements and near misses for an eval folder or its completions.parquet.

    Raises:
        ValueError: when the file cannot be read or has other columns.
    """
    from rewards.pool import VerifierPool
    from rewards.scorer import Item, score

    rows = _read_completions(args.input)
    pool = VerifierPool(args.deadline)
    verdicts = score([Item(row["completion"], row["answer"], row["meta"], row["truncated"]) for row in rows], pool)
    compared = [i for i, v in enumerate(verdicts) if v.extracted is not None and "long" not in rows[i]["meta"]]
    judged = pool.judge([(verdicts[i].extracted, rows[i]["answer"]) for i in compared])
    by_math_verify = {i: outcome for i, (outcome, _) in zip(compared, judged, strict=True)}
    disagreements = 0
    for i, (row, verdict) in enumerate(zip(rows, verdicts, strict=True)):
        math_verify = by_math_verify.get(i, verdict.outcome)
        outcomes = {"lenient": verdict.outcome, "strict": verdict.strict_outcome, "math-verify": math_verify}
        if len({outcome == "correct" for outcome in outcomes.values()}) > 1:
            disagreements += 1
            listed = ", ".join(f"{name} {outcome}" for name, outcome in outcomes.items())
            print(f"{row['problem_id']}: {verdict.extracted!r} for {row['answer']!r}: {listed}")
    print(f"{disagreements} of {len(rows)} completions are judged differently")
    wrong = [i for i in compared if verdicts[i].outcome == "wrong"]
    _print_near_misses([(verdicts[i].extracted, rows[i]["answer"], by_math_verify[i] == "correct") for i in wrong])


def resemblances(answer: str, gold: str) -> list[str]:
    """In what a wrong answer resembles the gold answer: `same digits`, `same letters`, or neither.

    Digits and letters are compared in order; letters without case and LaTeX commands.
    """
    texts = [_COMMAND.sub("", text).lower() for text in (answer, gold)]
    found = {name: [re.findall(kind, text) for text in texts] for name, kind in _KINDS.items()}
    return [f"same {name}" for name, (a, b) in found.items() if a == b != []]


def _print_near_misses(wrong: list[tuple[str, str, bool]]) -> None:
    """Prints each different near miss, with the number of completions."""
    counts = collections.Counter()
    for answer, gold, accepted in wrong:
        reasons = resemblances(answer, gold) + ["math-verify accepts it"] * accepted
        if reasons:
            counts[shorten(answer), shorten(gold), ", ".join(reasons)] += 1
    print(f"{counts.total()} of {len(wrong)} wrong answers are near misses:" if counts else "no wrong answer is a near miss")
    for (answer, gold, reasons), n in counts.most_common():
        print(f"{n:>6} x {answer} for {gold}: {reasons}")


def shorten(text: str | None) -> str:
    """A text in quotes, cut off after 60 characters."""
    quoted = repr(text)
    return quoted if len(quoted) <= _LONGEST else f"{quoted[:_LONGEST]}..."


def _read_completions(path: str) -> list[dict]:
    """The rows of an eval folder or a parquet file of completions, with `meta` parsed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path) / "completions.parquet" if Path(path).is_dir() else path
    types = {"problem_id": str, "completion": str, "answer": str, "meta": dict, "truncated": bool}
    try:
        with pq.ParquetFile(path) as file:
            rows = file.read().to_pylist()
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        raise ValueError(f"{path} cannot be read ({' '.join(str(error).split())}); check the path") from None
    for number, row in enumerate(rows, 1):
        try:
            row["meta"] = json.loads(row["meta"])
            valid = all(isinstance(row[name], kind) for name, kind in types.items()) and "style" in row["meta"]
        except (ValueError, KeyError, TypeError, RecursionError):
            valid = False
        if not valid:
            fix = "give an eval's folder or its completions.parquet"
            raise ValueError(f"{path}: row {number} is not a completion with {', '.join(types)}; {fix}")
    return rows
