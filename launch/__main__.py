"""The commands of launch: `check` runs a recipe's own checks on its configs, and stops before a model is loaded."""

import argparse
import subprocess
import sys
from pathlib import Path

RECIPES = Path(__file__).parents[1] / "recipes"


def check(configs: list[str]) -> int:
    """Checks each config with the recipe that it is named after (sft.yaml: recipes/sft.py); 0 if all pass, else 2."""
    worst = 0
    for config in configs:
        script = RECIPES / f"{Path(config).stem}.py"
        if not script.is_file():
            print(
                f"error: {config}: no recipe of that name; a config is named after its recipe: sft.yaml, grpo.yaml",
                file=sys.stderr,
            )
            worst = 2
            continue
        result = subprocess.run([sys.executable, str(script), "--config", config, "--check_only", "true"], check=False)
        if result.returncode:
            worst = 2
        else:
            print(f"{config}: passes")
    return worst


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code, 2 for findings."""
    parser = argparse.ArgumentParser(prog="python -m launch", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    checked = commands.add_parser("check", help="check configs of recipes without loading a model")
    checked.add_argument("configs", nargs="+", metavar="CONFIG.yaml")
    return check(parser.parse_args(argv).configs)


if __name__ == "__main__":
    sys.exit(main())
