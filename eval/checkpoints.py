"""`eval run --checkpoints`: accuracy and length over training, from every checkpoint that a run left."""

from argparse import Namespace
from pathlib import Path

from data_mix.errors import InputError
from eval import figures
from eval.folder import read_metrics
from eval.generate import Engine
from eval.run import evaluate, find_checkpoints
from eval.table import FIGURES, flatten, over_seeds


def evaluate_checkpoints(args: Namespace) -> str:
    """Evaluates every `checkpoint-N` in the folder `args.model` with one engine; returns a table over their steps.

    Each becomes an eval folder `OUT/checkpoint-N`; one that is there already is kept. OUT/checkpoints.png draws them.

    Raises:
        InputError: when there is none.
    """
    folders = find_checkpoints(args.model)
    if not folders:
        raise InputError(f"--model {args.model}: no checkpoint-N in it; a recipe with `save_strategy: steps` leaves them")
    engine, rows = Engine(args.seed), []
    for step, folder in folders.items():
        out = Path(args.out) / folder.name
        if not (out / "metrics.json").is_file():
            evaluate(Namespace(**{**vars(args), "model": str(folder), "out": str(out)}), engine)
        kind = "greedy" if args.temperature == 0 else "sampled"
        rows.append({"step": step, **flatten(Path(args.model).name, kind, read_metrics(str(out)))})
    drawn = figures.draw_axis(over_seeds(rows, ["step"]), "step", FIGURES, Path(args.out) / "checkpoints.png")
    lines = [f"{'step':>8}{'accuracy':>10}{'p_long':>10}{'median length':>15}"]
    lines += [f"{row['step']:>8}{row['accuracy']:>10.3f}{row['p_long']:>10.3f}{row['length_p50']:>15g}" for row in rows]
    return "\n".join([*lines, f"figure: {drawn.path}"])
