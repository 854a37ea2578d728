"""The completions of a report as data for the page's own browser: templates/browser.js sorts, filters and searches them."""

import json
import os

from rewards.functions import text_of

PER_EVAL = 1000  # completions of an eval that a page holds; all of them are in the eval's completions.parquet
COLUMNS = ("outcome", "form", "source", "n_tokens", "truncated", "answer", "extracted", "completion")


def pack(completions: dict[str, list[dict]], per_eval: int = PER_EVAL) -> dict:
    """Eval → completions as one JSON-serialisable mapping.

    Returns:
        `prompts` (each once), `columns`, and for every eval its name, `total` and `rows`: prompt number, then the columns.
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
    """JSON that may stand inside a script element, whatever a model wrote."""
    return json.dumps(packed, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", " ").replace("\u2029", " ")


def _without_shots(prompts: list[str]) -> list[str]:
    """Prompts without the worked examples that they all begin with; those end in an empty line."""
    shared = os.path.commonprefix(prompts) if len(set(prompts)) > 1 else ""
    start = shared.rfind("\n\n") + 2
    return [prompt[start:] for prompt in prompts] if start > 1 else prompts
