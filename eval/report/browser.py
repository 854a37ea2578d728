"""Packs completions as JSON for the report's completion browser; templates/browser.js sorts, filters and searches them."""

import json
import os

from rewards.functions import text_of

PER_EVAL = 1000  # completions per eval in the page; completions.parquet has all
COLUMNS = ("outcome", "form", "source", "n_tokens", "truncated", "answer", "extracted", "completion")


def pack(completions: dict[str, list[dict]], per_eval: int = PER_EVAL) -> dict:
    """Packs the completions of several evals (name → rows) into one JSON-serialisable mapping.

    Returns:
        `prompts` (without duplicates), `columns`, and `evals`, each with `name`, `total` and `rows`: index into `prompts`, then
        the columns.
    """
    prompts: dict[str, int] = {}
    evals = []
    for name, rows in completions.items():
        texts = _without_shots([text_of(row["prompt"]) for row in rows[:per_eval]])
        packed = [
            [prompts.setdefault(text, len(prompts)), *(row[column] for column in COLUMNS)]
            for text, row in zip(texts, rows, strict=False)
        ]
        evals.append({"name": name, "total": len(rows), "rows": packed})
    return {"prompts": list(prompts), "columns": ["prompt", *COLUMNS], "evals": evals}


def as_script(packed: dict) -> str:
    """JSON that is safe inside a script element whatever the completions contain."""
    return json.dumps(packed, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", " ").replace("\u2029", " ")


def _without_shots(prompts: list[str]) -> list[str]:
    """Removes the few-shot examples: the shared beginning of all prompts, up to its last empty line."""
    shared = os.path.commonprefix(prompts) if len(set(prompts)) > 1 else ""
    start = shared.rfind("\n\n") + 2
    return [prompt[start:] for prompt in prompts] if start > 1 else prompts
