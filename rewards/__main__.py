"""The commands of rewards: `score` judges a file of completions, `explain` one, `audit` lists where verifiers disagree."""

import argparse
import json
import sys
from pathlib import Path

STYLES = ("auto", "gsm8k", "boxed", "parity", "multiplication")


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code, 2 for wrong input."""
    parser = argparse.ArgumentParser(prog="python -m rewards", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    score = commands.add_parser("score", help="add extracted, outcome, strict_outcome and ms to each line")
    score.add_argument("input", metavar="IN.jsonl", help="one object a line, with `completion` and `gold`")
    score.add_argument("output", metavar="OUT.jsonl", help="the same lines, in order; it must not exist yet")
    explain = commands.add_parser("explain", help="one verdict, step by step")
    explain.add_argument("completion")
    explain.add_argument("--gold", required=True)
    audit = commands.add_parser("audit", help="completions that strict, lenient and math-verify judge differently")
    audit.add_argument("input", metavar="completions.parquet")
    for command in (score, explain):
        command.add_argument("--style", choices=STYLES, default="auto")
    for command in (score, explain, audit):
        command.add_argument("--deadline", type=float, default=5.0, metavar="S", help="seconds an answer may take (default 5)")
    args = parser.parse_args(argv)
    if args.deadline <= 0:
        parser.error(f"--deadline is {args.deadline:g}; it must be more than 0")
    try:
        {"score": score_file, "explain": explain_one, "audit": audit_file}[args.command](args)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def score_file(args: argparse.Namespace) -> None:
    """Reads, judges and writes; the output appears whole or not at all."""
    from rewards.pool import VerifierPool
    from rewards.scorer import score

    if Path(args.output).exists():
        raise ValueError(f"{args.output} exists already; give another name, or remove it first")
    lines = list(_read(args.input))
    verdicts = score([_item(line["completion"], line["gold"], args.style) for line in lines], VerifierPool(args.deadline))
    temporary = Path(f"{args.output}.part")
    with temporary.open("w", encoding="utf-8") as file:
        for line, v in zip(lines, verdicts, strict=True):
            seen = {"extracted": v.extracted, "outcome": v.outcome, "strict_outcome": v.strict_outcome, "ms": round(v.ms, 3)}
            file.write(json.dumps({**line, **seen}) + "\n")
    temporary.rename(args.output)


def explain_one(args: argparse.Namespace) -> None:
    """Prints what was found, how it was compared and what came of it."""
    from rewards.answers import read
    from rewards.equality import settle
    from rewards.expression import TooLargeError, UnknownError
    from rewards.extraction import extract
    from rewards.pool import VerifierPool
    from rewards.scorer import score

    extracted, own_mark = extract(args.completion, args.style)
    print(f"extracted  {extracted!r} ({'by its own mark' if own_mark else 'leniently' if extracted else 'no answer found'})")
    for name, text in (("answer", extracted), ("gold", args.gold)):
        try:
            print(f"{name:<10} {read(text).kind if text else 'nothing'}")
        except (UnknownError, TooLargeError) as error:
            print(f"{name:<10} not readable: {error}")
    if extracted is not None:
        same_text = extracted.strip() == args.gold.strip()
        path = (
            "the same text" if same_text else "exact arithmetic" if settle(extracted, args.gold) else "math-verify, in a worker"
        )
        print(f"path       {path}")
    [verdict] = score([_item(args.completion, args.gold, args.style)], VerifierPool(args.deadline))
    print(f"outcome    {verdict.outcome} (strict: {verdict.strict_outcome}), {verdict.ms:.2f} ms")


def audit_file(args: argparse.Namespace) -> None:
    """Prints each completion on which two of the three differ, and a count."""
    import pyarrow.parquet as pq

    from rewards.pool import VerifierPool
    from rewards.scorer import Item, score

    rows = pq.read_table(args.input).to_pylist()
    pool = VerifierPool(args.deadline)
    verdicts = score([Item(r["completion"], r["answer"], json.loads(r["meta"]), r["truncated"]) for r in rows], pool)
    asked = [i for i, v in enumerate(verdicts) if v.extracted is not None and "long" not in json.loads(rows[i]["meta"])]
    judged = pool.judge([(verdicts[i].extracted, rows[i]["answer"]) for i in asked])
    theirs = {i: outcome for i, (outcome, _) in zip(asked, judged, strict=True)}
    differ = 0
    for i, (row, verdict) in enumerate(zip(rows, verdicts, strict=True)):
        outcomes = {"lenient": verdict.outcome, "strict": verdict.strict_outcome, "math-verify": theirs.get(i, verdict.outcome)}
        if len({outcome == "correct" for outcome in outcomes.values()}) > 1:
            differ += 1
            said = ", ".join(f"{name} {outcome}" for name, outcome in outcomes.items())
            print(f"{row['problem_id']}: {verdict.extracted!r} for {row['answer']!r}: {said}")
    print(f"{differ} of {len(rows)} completions are judged differently")


def _item(completion: str, gold: str, style: str):
    """An item in the named style. Parity and multiplication have no gold form here, so only their answer is compared."""
    from rewards.extraction import has_box
    from rewards.scorer import Item

    if style == "auto":
        style = "boxed" if has_box(completion) else "gsm8k"
    return Item(completion, gold, {"style": style})


def _read(path: str):
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file")
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            try:
                line = json.loads(text)
                fine = isinstance(line["completion"], str) and isinstance(line["gold"], str)
            except (ValueError, KeyError, TypeError, RecursionError):
                fine = False
            if not fine:
                raise ValueError(f"{path}:{number}: needs a JSON object with the texts `completion` and `gold`")
            yield line


if __name__ == "__main__":
    sys.exit(main())
