"""`eval run --checkpoints`: accuracy and length over training, from every checkpoint of a run."""

from dataclasses import replace
from pathlib import Path

from data_mix.errors import InputError
from eval.eval_config import EvalConfig
from eval.evaluate import evaluate
from eval.generation.engines import LazyEngine
from eval.model_folder import find_checkpoints
from eval.report.figures import draw_axis
from eval.report.table import average_seeds, flatten


def evaluate_checkpoints(config: EvalConfig) -> str:
    """Evaluates every `checkpoint-N` in `config.model` with one engine; returns a table over training steps.

    Writes an eval folder OUT/checkpoint-N per checkpoint (with tasks, OUT/checkpoint-N/TASK) and OUT/checkpoints.png. Many
    truncated completions, as early checkpoints have, are only a warning here.

    Raises:
        InputError: when there are no checkpoints, or as `evaluate` does.
    """
    if config.base_url:
        raise InputError("--checkpoints evaluates several models, but a server has one; leave out --base-url or --checkpoints")
    folders = find_checkpoints(config.model)
    if not folders:
        raise InputError(f"--model {config.model}: no checkpoint-N in it; train with `save_strategy: steps` to get some")
    engine, rows = LazyEngine(), []
    kind = "greedy" if config.temperature == 0 else "sampled"
    configs = {
        step: replace(config, model=str(folder), out=str(Path(config.out) / folder.name)) for step, folder in folders.items()
    }
    for own in configs.values():
        own.check()
    for step, own in configs.items():
        for out, metrics in evaluate(replace(own, max_truncated=1.0), engine).items():
            task = {"task": Path(out).name} if config.tasks else {}
            rows.append({"step": step, **task, **flatten(Path(config.model).name, kind, metrics)})
    groups = average_seeds(rows, ["step", "task"])
    figure = draw_axis(groups, "step", Path(config.out) / "checkpoints.png")
    lines = [f"{'step':>8}{'accuracy':>10}{'p_long':>10}{'median length':>15}"]
    for row in rows:
        values = f"{row['step']:>8}{row['accuracy']:>10.3f}{row['p_long']:>10.3f}{row['length_p50']:>15g}"
        lines.append(f"{values}  {row.get('task', '')}".rstrip())
    return "\n".join([*lines, f"figure: {figure.path}"])
