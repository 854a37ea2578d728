"""`eval export`: prints an eval's accuracy in the formats of other tools.

lm-eval       results JSON of EleutherAI's lm-evaluation-harness, one task per source: `exact_match` with the filters
              `strict-match` (only the answer style's mark) and `flexible-extract` (the verifier), and their standard errors
model-index   the `model-index` block of a Hugging Face model card's YAML header
"""

import json

import numpy as np

from eval.scoring.breakdown import group_by
from eval.scoring.eval_folder import describe_decoding, read_completions


def export(folder: str, form: str) -> str:
    """Returns the text of an export.

    Args:
        folder: eval folder.
        form: lm-eval or model-index.

    Raises:
        InputError: when it is not an eval folder.
    """
    rows, info = read_completions(folder)
    by_source = {source: group_by(own, "problem_id") for source, own in group_by(rows, "source").items()}
    return (_lm_eval if form == "lm-eval" else _model_index)(by_source, info)


def accuracy_of(problems: dict[str, list], outcome: str) -> tuple[float, float]:
    """Mean accuracy over problems and its standard error; `outcome` is the column to use (outcome or strict_outcome)."""
    shares = np.array([np.mean([row[outcome] == "correct" for row in samples]) for samples in problems.values()])
    return float(shares.mean()), float(shares.std(ddof=1) / np.sqrt(len(shares))) if len(shares) > 1 else 0.0


def _lm_eval(by_source: dict, info: dict) -> str:
    results, counts = {}, {}
    for source, problems in by_source.items():
        result = {"alias": source}
        for name, outcome in (("strict-match", "strict_outcome"), ("flexible-extract", "outcome")):
            value, error = accuracy_of(problems, outcome)
            result |= {f"exact_match,{name}": value, f"exact_match_stderr,{name}": error}
        results[source] = result
        counts[source] = {"original": len(problems), "effective": len(problems)}
    generation = {"temperature": info["temperature"], "do_sample": info["temperature"] > 0, "max_gen_toks": info["max_tokens"]}
    tasks = {
        source: {"task": source, "num_fewshot": info.get("shots", 0), "generation_kwargs": generation} for source in by_source
    }
    return json.dumps(
        {
            "results": results,
            "configs": tasks,
            "n-shot": dict.fromkeys(by_source, info.get("shots", 0)),
            "n-samples": counts,
            "config": {"model": "vllm", "model_args": f"pretrained={info['model']}", "random_seed": info["seed"]},
            "model_name": info["model"],
        },
        indent=2,
    )


def _model_index(by_source: dict, info: dict) -> str:
    import yaml

    decoding = describe_decoding(info)
    results = []
    for source, problems in by_source.items():
        value, _ = accuracy_of(problems, "outcome")
        metric = {"type": "accuracy", "name": f"accuracy, {decoding}, {len(problems)} problems", "value": round(value, 4)}
        task = {"type": "text-generation", "name": "Text Generation"}
        results.append({"task": task, "dataset": {"type": source, "name": source}, "metrics": [metric]})
    return yaml.safe_dump({"model-index": [{"name": info["model"], "results": results}]}, sort_keys=False)
