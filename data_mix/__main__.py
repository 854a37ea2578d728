"""Command line of data_mix: `build` a mixture folder from a YAML config; `show`, `diff`, `verify` and `push` existing ones."""

import argparse
import sys
from pathlib import Path

from data_mix.errors import exit_code


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit code; 2 means wrong input."""
    parser = argparse.ArgumentParser(prog="python -m data_mix", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build a mixture folder from a YAML config")
    build.add_argument("config", metavar="CONFIG.yaml")
    build.add_argument("--out", required=True, metavar="DIR", help="output folder; must be missing or empty")
    build.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="override fields, e.g. seed=1 sources.0.d=25")
    for name, folders, help in (
        ("show", ["folder"], "print a mixture: counts, lengths, removed problems, three rows of each form"),
        ("diff", ["a", "b"], "list the differences between two mixtures"),
        ("verify", ["folder"], "rebuild a mixture from its manifest and compare byte for byte"),
    ):
        command = commands.add_parser(name, help=help)
        for folder in folders:
            command.add_argument(folder, metavar="DIR")
    push = commands.add_parser("push", help="upload a mixture to the Hugging Face Hub as a dataset")
    push.add_argument("folder", metavar="DIR")
    push.add_argument("name", metavar="OWNER/NAME")
    push.add_argument("--private", action="store_true", default=None, help="if the dataset is new, make it private")
    args = parser.parse_args(argv)
    return exit_code(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    """Runs the parsed command."""
    from data_mix import hub, mixture_config, mixture_folder, show

    if args.command == "build":
        mixture_folder.build(mixture_config.load_config(args.config, args.set), args.out)
        print(f"{args.out}: built; `python -m data_mix show {args.out}` prints it")
    elif args.command == "show":
        print(show.show(args.folder))
    elif args.command == "diff":
        print(show.diff(args.a, args.b))
    elif args.command == "push":
        mixture_folder.read_manifest(args.folder)
        print(f"{args.folder}: pushed to {hub.upload(Path(args.folder), args.name, 'dataset', args.private)}")
    else:
        mixture_folder.verify(args.folder)
        print(f"{args.folder}: identical to a rebuild from its manifest, byte for byte")


if __name__ == "__main__":
    sys.exit(main())
