"""Generates and scores completions of a model, and reports accuracy and response length."""

import argparse
import dataclasses
import sys
from pathlib import Path

from data_mix.errors import InputError, exit_code
from data_mix.files import reason


def make_parser() -> argparse.ArgumentParser:
    """The command-line parser."""
    parser = argparse.ArgumentParser(prog="python -m eval", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="generate completions for test problems and score them")
    run.add_argument("--model", required=True, metavar="DIR", help="checkpoint folder or hub id")
    problems = run.add_mutually_exclusive_group(required=True)
    problems.add_argument("--mixture", metavar="DIR", help="mixture folder; its test problems are used")
    tasks = "gsm8k, math, math500, svamp, olympiadbench, or YAML files like eval/benchmarks/*.yaml"
    problems.add_argument("--tasks", nargs="+", default=(), metavar="NAME", help=tasks)
    run.add_argument("--out", required=True, metavar="DIR", help="eval folder to write; with --tasks, one per task inside")
    run.add_argument("--prompt", choices=("chat", "plain", "few-shot"), help="prompt format of the tasks (chat)")
    run.add_argument("--data", metavar="DIR", help="local copies of the tasks' data (DIR/gsm8k/test.jsonl); default: the hub")
    run.add_argument("--samples", type=int, default=1, help="completions per problem (1)")
    run.add_argument("--temperature", type=float, default=0.0, help="0 (the default) is greedy")
    limit = "length limit of a completion (the task's; for a mixture, twice the longest reference solution)"
    run.add_argument("--max-tokens", type=int, help=limit)
    truncated = "fail if a larger share of the completions is truncated (0.5); with --checkpoints, only warn"
    run.add_argument("--max-truncated", type=float, default=0.5, metavar="SHARE", help=truncated)
    run.add_argument("--problems", type=int, metavar="N", help="use only N test problems, taken from each source in proportion")
    run.add_argument("--seed", type=int, default=0)
    servers = "take completions from running vLLM servers of the model (`python -m launch serve`)"
    run.add_argument("--base-url", nargs="+", default=(), metavar="URL", help=servers)
    run.add_argument(
        "--token-file", metavar="FILE", help="the servers' token: OUTPUT_DIR.server/token of the run they belong to"
    )
    run.add_argument("--checkpoints", action="store_true", help="evaluate every checkpoint-N in --model into OUT/checkpoint-N")
    score = commands.add_parser("score", help="rescore the completions of an eval folder, without a model")
    score.add_argument("folder", metavar="DIR")
    compare = commands.add_parser("compare", help="paired comparison of two eval folders, with 95%% intervals")
    compare.add_argument("a", metavar="DIR")
    compare.add_argument("b", metavar="DIR")
    report = commands.add_parser("report", help="write RUN_DIR/report.html and its figures")
    report.add_argument("run_dir", metavar="RUN_DIR", help="folder with sft/, grpo/ and eval/, or the `out` of an ablation")
    report.add_argument("--watch", action="store_true", help="rewrite it as a running job's logs and evals grow; Ctrl-C stops")
    table = commands.add_parser("table", help="table and figures of an ablation's evals")
    table.add_argument("out", metavar="DIR", help="the `out` of an ablation (`python -m launch ablate`)")
    forecast = commands.add_parser("forecast", help="forecast STaR rounds from the sampled eval of an SFT checkpoint")
    forecast.add_argument("folder", metavar="SFT_EVAL_DIR", help="an eval folder made with --samples and --temperature 1.0")
    forecast.add_argument("--rounds", type=int, default=8)
    forecast.add_argument("--measured", metavar="STAR_DIR", help="a finished STaR run to compare with")
    plan = commands.add_parser("plan", help="the cheapest p_cot and SFT, with or without GRPO, that reach a target accuracy")
    plan.add_argument("studies", nargs="+", metavar="STUDY", help="the `out` of an ablation over p_cot, or a results.jsonl")
    plan.add_argument("--target", type=float, required=True, metavar="ACCURACY")
    plan.add_argument("--grpo-token", type=float, default=1.0, metavar="COST", help="of a GRPO token, in SFT tokens (1)")
    plan.add_argument("--long-row", type=float, default=0.0, metavar="COST", help="of making a long row, in SFT tokens (0)")
    plan.add_argument("--short-row", type=float, default=0.0, metavar="COST", help="of making a short row (0)")
    plan.add_argument(
        "--at", nargs="+", action="extend", default=[], metavar="AXIS=VALUE", help="also predict this cell, by interpolation"
    )
    plan.add_argument("--out", metavar="PNG", help="the figure to write (plan.png beside the first results.jsonl)")
    export = commands.add_parser("export", help="print an eval as lm-eval results JSON or a model card's model-index")
    export.add_argument("folder", metavar="DIR")
    export.add_argument("--format", choices=("lm-eval", "model-index"), required=True)
    return parser


def to_config(args: argparse.Namespace):
    """The EvalConfig of `run`'s arguments."""
    from eval.eval_config import EvalConfig

    return EvalConfig(**{field.name: getattr(args, field.name) for field in dataclasses.fields(EvalConfig)})


def run(args: argparse.Namespace) -> None:
    """Runs the parsed command. Imports are local so that `--help` and light commands start fast."""
    if args.command == "run":
        from eval.evaluate import evaluate
        from eval.scoring.eval_folder import format_metrics

        config = to_config(args)
        if args.checkpoints:
            from eval.checkpoint_sweep import evaluate_checkpoints

            print(evaluate_checkpoints(config))
        else:
            for folder, metrics in evaluate(config).items():
                print(f"{folder}: {format_metrics(metrics)}")
    elif args.command == "score":
        from eval.scoring.eval_folder import format_metrics, read_completions, write_folder

        rows, info = read_completions(args.folder)
        print(f"{args.folder}: {format_metrics(write_folder(args.folder, rows, info))}")
    elif args.command == "compare":
        from eval.scoring.compare import compare, format_comparison, format_warning

        result = compare(args.a, args.b)
        if warning := format_warning(result, args.a, args.b):
            print(warning, file=sys.stderr)
        print(format_comparison(result))
    elif args.command == "table":
        from eval.report.table import write_table

        print(write_table(args.out).markdown())
    elif args.command == "forecast":
        from eval.scoring.forecast import forecast, format_forecast, read_measured

        measured = read_measured(args.measured) if args.measured else None
        print(format_forecast(forecast(args.folder, args.rounds), measured))
    elif args.command == "plan":
        from eval.report.figures import draw_plan
        from eval.scoring.plan import format_plan, parse_cell, plan
        from eval.scoring.price_study import Prices, find_results

        prices = Prices(args.grpo_token, args.long_row, args.short_row)
        result = plan(args.studies, args.target, prices, parse_cell(args.at))
        path = Path(args.out) if args.out else find_results(args.studies[0]).with_name("plan.png")
        if path.suffix != ".png":
            raise InputError(f"--out {path}: the figure is a PNG; give a file name that ends in .png")
        print(format_plan(result))
        try:
            draw_plan(result, path)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({reason(error)}); choose another file with --out") from None
        print(f"{path}: written")
    elif args.command == "export":
        from eval.report.export import export

        print(export(args.folder, args.format))
    else:
        try:
            from eval.report.page import write_report
            from eval.report.watch import watch

            print(watch(args.run_dir) if args.watch else write_report(args.run_dir))
        except KeyboardInterrupt:
            if not args.watch:
                raise
            sys.exit(130)


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code: 2 for invalid input."""
    args = make_parser().parse_args(argv)
    return exit_code(lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
