"""`eval run --checkpoints`: accuracy and length over training, from every checkpoint that a run left."""

from argparse import Namespace
from pathlib import Path

from data_mix.errors import InputError
from eval.evaluate import evaluate
from eval.generation.engines import Engine
from eval.model_folder import find_checkpoints
from eval.report import figures
from eval.report.table import FIGURES, flatten, over_seeds


def evaluate_checkpoints(args: Namespace) -> str:
    """Evaluates every `checkpoint-N` in the folder `args.model` with one engine; returns a table over their steps.

    Each becomes an eval folder `OUT/checkpoint-N` (with tasks, one of such folders a task). OUT/checkpoints.png draws them.

    Raises:
        InputError: when there is none.
    """
    folders = find_checkpoints(args.model)
    if not folders:
        raise InputError(f"--model {args.model}: no checkpoint-N in it; a recipe with `save_strategy: steps` leaves them")
    engine, rows = Engine(args.seed), []
    kind = "greedy" if args.temperature == 0 else "sampled"
    for step, folder in folders.items():
        made = evaluate(Namespace(**{**vars(args), "model": str(folder), "out": str(Path(args.out) / folder.name)}), engine)
        for out, metrics in made.items():
            task = {"task": Path(out).name} if args.tasks else {}
            rows.append({"step": step, **task, **flatten(Path(args.model).name, kind, metrics)})
    drawn = figures.draw_axis(over_seeds(rows, ["step", "task"]), "step", FIGURES, Path(args.out) / "checkpoints.png")
    lines = [f"{'step':>8}{'accuracy':>10}{'p_long':>10}{'median length':>15}"]
    for row in rows:
        figures_ = f"{row['step']:>8}{row['accuracy']:>10.3f}{row['p_long']:>10.3f}{row['length_p50']:>15g}"
        lines.append(f"{figures_}  {row.get('task', '')}".rstrip())
    return "\n".join([*lines, f"figure: {drawn.path}"])
