"""`results.jsonl` of an ablation: a line per eval and per logged held-out result, small enough to publish beside the study."""

import json
from pathlib import Path

from data_mix import files
from eval.training_data import count_rows

LOGGED = ("accuracy", "p_long", "accuracy_long", "accuracy_short", "length/median")
DIGITS = 4  # an accuracy of 1,024 problems has no more


def write_results(folder: Path, evals: list[dict], rows: list[dict]) -> None:
    """Writes FOLDER/results.jsonl.

    Args:
        folder: the ablation's folder.
        evals: its finished evals, as in evals.json.
        rows: their lines in table.parquet, in the same order.
    """
    models = {f"{entry['stage']}/{Path(entry['folder']).name}": entry for entry in evals}
    lines = list(zip(evals, rows, strict=True))
    lines += [(entry, line) for model, entry in models.items() for line in _logged(folder / model, entry)]
    texts = [json.dumps({name: _rounded(value) for name, value in line.items()} | entry["axes"]) for entry, line in lines]
    files.write_text(folder / "results.jsonl", "\n".join(texts) + "\n")


def _logged(model: Path, entry: dict) -> list[dict]:
    """The held-out results in a stage's log, as lines of kind `log`; those of SFT have `rows`, the distinct rows seen."""
    path = model / "log.jsonl"
    rows = count_rows(str(model)) if entry["stage"] == "sft" else None
    kept = ("step", "num_tokens", "p_long", *(f"heldout/{kind}/{name}" for kind in ("greedy", "sampled") for name in LOGGED))
    return [
        {**entry["axes"], "stage": entry["stage"], "kind": "log", **{name: line[name] for name in kept if name in line}}
        | ({"rows": round(rows * min(1, line["epoch"]))} if rows and "epoch" in line else {})
        for line in (files.read_json_lines(path) if path.is_file() else [])
        if "heldout/greedy/accuracy" in line
    ]


def _rounded(value: object) -> object:
    return round(value, DIGITS) if isinstance(value, float) else value
