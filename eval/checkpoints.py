"""`eval run --checkpoints`: accuracy and length over training, from every checkpoint that a run left."""

from argparse import Namespace
from pathlib import Path

from data_mix.errors import InputError
from eval.folder import read_metrics
from eval.generate import Engine
from eval.run import evaluate

FIGURES = {"accuracy": "accuracy", "p_long": "p_long", "length_p50": "median length (tokens)"}


def evaluate_checkpoints(args: Namespace) -> str:
    """Evaluates every `checkpoint-N` in the folder `args.model` with one engine; returns a table over their steps.

    Each becomes an eval folder `OUT/checkpoint-N`; one that is there already is kept. OUT/checkpoints.png draws them.

    Raises:
        InputError: when there is none.
    """
    folders = {int(path.name.split("-")[1]): path for path in Path(args.model).glob("checkpoint-*") if path.is_dir()}
    if not folders:
        raise InputError(f"--model {args.model}: no checkpoint-N in it; a recipe with `save_strategy: steps` leaves them")
    engine, groups = Engine(args.seed), []
    for step, folder in sorted(folders.items()):
        out = Path(args.out) / folder.name
        if not (out / "metrics.json").is_file():
            evaluate(Namespace(**{**vars(args), "model": str(folder), "out": str(out)}), engine)
        metrics = read_metrics(str(out))
        figures = {
            "accuracy": metrics["accuracy"]["value"],
            "p_long": metrics["p_long"],
            "length_p50": metrics["length"]["p50"],
        }
        kind = "greedy" if args.temperature == 0 else "sampled"
        groups.append({"axes": {"step": step}, "stage": Path(args.model).name, "kind": kind, **figures})
    return f"{_format(groups)}\nfigure: {_draw(groups, Path(args.out))}"


def _format(groups: list[dict]) -> str:
    lines = [f"{'step':>8}{'accuracy':>10}{'p_long':>10}{'median length':>15}"]
    lines += [f"{g['axes']['step']:>8}{g['accuracy']:>10.3f}{g['p_long']:>10.3f}{g['length_p50']:>15g}" for g in groups]
    return "\n".join(lines)


def _draw(groups: list[dict], out: Path) -> Path:
    from eval import figures

    with_widths = [{**group, **{name: (group[name], 0.0) for name in FIGURES}} for group in groups]
    return figures.draw_axis(with_widths, "step", FIGURES, out / "checkpoints.png").path
