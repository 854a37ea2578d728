"""Commands: `score` a file of completions, `explain` one verdict, `audit` an evaluation for wrong verdicts, `try` rewards."""

import argparse
import json
import math
import os
import sys
from pathlib import Path

from rewards.audit import audit_file
from rewards.own import RewardError

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
    audit = commands.add_parser(
        "audit", help="list near misses, and completions that strict, lenient and math-verify judge differently"
    )
    audit.add_argument("input", metavar="EVAL_DIR", help="an eval folder, or its completions.parquet")
    trial = commands.add_parser("try", help="show what a config's rewards pay for gold, empty and truncated completions")
    trial.add_argument("config", metavar="CONFIG.yaml", help="of recipes/grpo.py or star.py; its mixture must exist")
    trial.set_defaults(deadline=5.0)
    for command in (score, explain):
        command.add_argument("--style", choices=STYLES, default="auto")
    for command in (score, explain, audit):
        command.add_argument("--deadline", type=float, default=5.0, metavar="S", help="seconds allowed per answer (default 5)")
    args = parser.parse_args(argv)
    if not 0 < args.deadline < math.inf:
        parser.error(f"--deadline is {args.deadline:g}; it must be a positive number of seconds")
    try:
        {"score": score_file, "explain": explain_one, "audit": audit_file, "try": try_config}[args.command](args)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head`; the interpreter flushes once more when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError, RewardError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def score_file(args: argparse.Namespace) -> None:
    """Scores a file. The output appears only when it is complete."""
    from rewards.pool import VerifierPool
    from rewards.scorer import score

    if os.path.lexists(args.output):
        raise ValueError(f"{args.output} already exists; choose another name or delete it")
    lines = list(_read(args.input))
    temporary = Path(f"{args.output}.part")  # not data_mix.files.new_file: rewards imports no other package of this project
    try:
        file = temporary.open("w", encoding="utf-8")  # before the scoring, which may take minutes
    except OSError as error:
        raise ValueError(f"{args.output} cannot be written ({error.strerror}); choose another name") from None
    try:
        items = [_item(line["completion"], line["gold"], args.style) for line in lines]
        with file:
            for line, v in zip(lines, score(items, VerifierPool(args.deadline)), strict=True):
                verdict = {"extracted": v.extracted, "outcome": v.outcome, "strict_outcome": v.strict_outcome}
                file.write(json.dumps({**line, **verdict, "ms": round(v.ms, 3)}) + "\n")
        temporary.rename(args.output)
    finally:
        temporary.unlink(missing_ok=True)


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


def try_config(args: argparse.Namespace) -> None:
    """Prints what the rewards of a recipe's config pay."""
    from rewards.trial import show

    print(show(args.config))


def _item(completion: str, gold: str, style: str):
    """An item in the given style. Without the gold form, parity and multiplication are scored by their answer alone."""
    from rewards.extraction import choose_style
    from rewards.scorer import Item

    return Item(completion, gold, {"style": choose_style(completion) if style == "auto" else style})


def _read(path: str):
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); check the path") from None
    for number, text in enumerate(lines, 1):
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
