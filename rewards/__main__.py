"""Commands: `score` a file of completions, `explain` one verdict, `audit` disagreements between verifiers."""

import argparse
import json
import sys
from pathlib import Path

STYLES = ("auto", "gsm8k", "boxed", "parity", "multiplication")


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code, 2 for invalid input."""
    parser = argparse.ArgumentParser(prog="python -m rewards", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    score = commands.add_parser("score", help="add extracted, outcome, strict_outcome and ms to each line")
    score.add_argument("input", metavar="IN.jsonl", help="one object per line, with `completion` and `gold`")
    score.add_argument("output", metavar="OUT.jsonl", help="the same lines, in order; must not exist yet")
    explain = commands.add_parser("explain", help="show one verdict step by step")
    explain.add_argument("completion")
    explain.add_argument("--gold", required=True)
    audit = commands.add_parser("audit", help="list completions that strict, lenient and math-verify judge differently")
    audit.add_argument("input", metavar="completions.parquet")
    for command in (score, explain):
        command.add_argument("--style", choices=STYLES, default="auto")
    for command in (score, explain, audit):
        command.add_argument("--deadline", type=float, default=5.0, metavar="S", help="seconds allowed per answer (default 5)")
    args = parser.parse_args(argv)
    if args.deadline <= 0:
        parser.error(f"--deadline is {args.deadline:g}; it must be positive")
    try:
        {"score": score_file, "explain": explain_one, "audit": audit_file}[args.command](args)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def score_file(args: argparse.Namespace) -> None:
    """Scores a file. The output appears only when it is complete."""
    from rewards.pool import VerifierPool
    from rewards.scorer import score

    if Path(args.output).exists():
        raise ValueError(f"{args.output} already exists; choose another name or delete it")
    lines = list(_read(args.input))
    verdicts = score([_item(line["completion"], line["gold"], args.style) for line in lines], VerifierPool(args.deadline))
    temporary = Path(f"{args.output}.part")  # not data_mix.files.new_file: rewards imports no other package of this project
    with temporary.open("w", encoding="utf-8") as file:
        for line, v in zip(lines, verdicts, strict=True):
            columns = {"extracted": v.extracted, "outcome": v.outcome, "strict_outcome": v.strict_outcome, "ms": round(v.ms, 3)}
            file.write(json.dumps({**line, **columns}) + "\n")
    temporary.rename(args.output)


def explain_one(args: argparse.Namespace) -> None:
    """Prints the extracted answer, how it was compared, and the outcome."""
    from rewards.answers import parse_answer
    from rewards.arithmetic import TooLargeError
    from rewards.equality import compare
    from rewards.extraction import extract
    from rewards.parsing import UnsupportedError
    from rewards.pool import VerifierPool
    from rewards.scorer import score

    extracted, own_marker = extract(args.completion, args.style)
    print(f"extracted  {extracted!r} ({'strictly' if own_marker else 'leniently' if extracted else 'no answer found'})")
    for name, text in (("answer", extracted), ("gold", args.gold)):
        try:
            print(f"{name:<10} {parse_answer(text).kind if text else 'empty'}")
        except (UnsupportedError, TooLargeError) as error:
            print(f"{name:<10} not readable: {error}")
    if extracted is not None:
        exact = "exact arithmetic" if compare(extracted, args.gold) else "math-verify, in a worker"
        print(f"path       {'identical text' if extracted.strip() == args.gold.strip() else exact}")
    [verdict] = score([_item(args.completion, args.gold, args.style)], VerifierPool(args.deadline))
    print(f"outcome    {verdict.outcome} (strict: {verdict.strict_outcome}), {verdict.ms:.2f} ms")


def audit_file(args: argparse.Namespace) -> None:
    """Prints each completion on which the three verifiers disagree, and their number."""
    import pyarrow.parquet as pq

    from rewards.pool import VerifierPool
    from rewards.scorer import Item, score

    rows = pq.read_table(args.input).to_pylist()
    pool = VerifierPool(args.deadline)
    verdicts = score([Item(r["completion"], r["answer"], json.loads(r["meta"]), r["truncated"]) for r in rows], pool)
    compared = [i for i, v in enumerate(verdicts) if v.extracted is not None and "long" not in json.loads(rows[i]["meta"])]
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


def _item(completion: str, gold: str, style: str):
    """An item in the given style. Without the gold form, parity and multiplication are scored by their answer alone."""
    from rewards.boxed import has_box
    from rewards.scorer import Item

    if style == "auto":
        style = "boxed" if has_box(completion) else "gsm8k"
    return Item(completion, gold, {"style": style})


def _read(path: str):
    if not Path(path).is_file():
        raise ValueError(f"{path} does not exist; check the path")
    with open(path, "rb") as file:
        for number, text in enumerate(file, 1):
            try:
                line = json.loads(text.decode())
                valid = isinstance(line["completion"], str) and isinstance(line["gold"], str)
            except (ValueError, KeyError, TypeError, RecursionError):
                valid = False
            if not valid:
                raise ValueError(f"{path}:{number}: needs a JSON object with `completion` and `gold` as strings; fix this line")
            yield line


if __name__ == "__main__":
    sys.exit(main())
