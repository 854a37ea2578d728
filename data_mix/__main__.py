"""The commands of data_mix: `build` makes a mixture folder from a YAML config, `show` prints one."""

import argparse
import sys

from data_mix.errors import exit_code


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code, 2 for wrong input."""
    parser = argparse.ArgumentParser(prog="python -m data_mix", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build a mixture folder from a config")
    build.add_argument("config", metavar="CONFIG.yaml")
    build.add_argument("--out", required=True, metavar="DIR", help="a folder that does not exist yet")
    build.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="override fields, e.g. seed=1 sources.0.d=25")
    show = commands.add_parser("show", help="print a mixture: counts, lengths, three rows of each form")
    show.add_argument("folder", metavar="DIR")
    args = parser.parse_args(argv)
    return exit_code(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    """Runs the parsed command."""
    from data_mix import config, folder

    if args.command == "build":
        folder.build(config.load_config(args.config, args.set), args.out)
        print(f"{args.out}: built; `python -m data_mix show {args.out}` prints it")
    else:
        print(folder.show(args.folder))


if __name__ == "__main__":
    sys.exit(main())
