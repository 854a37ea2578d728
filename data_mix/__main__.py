"""The commands of data_mix: `build` makes a mixture folder from a YAML config; `show`, `diff` and `verify` look at them."""

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
    for name, folders, help in (
        ("show", ["folder"], "print a mixture: counts, lengths, what was removed, three rows of each form"),
        ("diff", ["a", "b"], "say what differs between two mixtures"),
        ("verify", ["folder"], "build a mixture again from its manifest and compare to the byte"),
    ):
        command = commands.add_parser(name, help=help)
        for folder in folders:
            command.add_argument(folder, metavar="DIR")
    args = parser.parse_args(argv)
    return exit_code(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    """Runs the parsed command."""
    from data_mix import mixture_config, show
    from data_mix import mixture_folder as folder

    if args.command == "build":
        folder.build(mixture_config.load_config(args.config, args.set), args.out)
        print(f"{args.out}: built; `python -m data_mix show {args.out}` prints it")
    elif args.command == "show":
        print(show.show(args.folder))
    elif args.command == "diff":
        print(show.diff(args.a, args.b))
    else:
        folder.verify(args.folder)
        print(f"{args.folder}: what its manifest builds, to the byte")


if __name__ == "__main__":
    sys.exit(main())
