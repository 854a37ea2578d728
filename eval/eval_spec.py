"""Turns an EvalConfig into one EvalSpec per eval folder: prompts, token limit, and the settings stored with the completions."""

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from data_mix.errors import InputError
from data_mix.plan import pick
from eval import benchmarks
from eval.eval_config import EvalConfig
from eval.generation.engines import Sampling
from eval.generation.tokens import context_length, encode_prompts, end_ids
from eval.model_folder import load_config, weight_files
from eval.training_data import find_form_rule, find_trained_on
from rewards.functions import text_of


@dataclass(frozen=True)
class EvalSpec:
    """One eval folder to write.

    Attributes:
        out: the folder.
        rows: its problems, as in `benchmarks.Benchmark`.
        prompt_ids: token ids of each problem's prompt.
        sampling: how completions are drawn.
        settings: everything that determines the completions; JSON.
        scoring: what else determines the scores, and may change behind a mixture's name; JSON.
    """

    out: str
    rows: list[dict]
    prompt_ids: list[list[int]]
    sampling: Sampling
    settings: dict
    scoring: dict

    @property
    def max_length(self) -> int:
        """Longest prompt plus completion, in tokens."""
        return max(map(len, self.prompt_ids)) + self.sampling.max_tokens


def make_specs(config: EvalConfig, tokenizer) -> list[EvalSpec]:
    """The eval folders of a config: one for a mixture, one per task.

    Raises:
        InputError: for data that cannot be read, or a token limit beyond the model's context.
    """
    ends = frozenset(end_ids(tokenizer, config.model))
    context = context_length(load_config(config.model))
    loaded = {config.out: benchmarks.from_mixture(config.mixture)} if config.mixture else _load_tasks(config)
    return [_make_spec(config, out, benchmark, tokenizer, ends, context) for out, benchmark in loaded.items()]


def _load_tasks(config: EvalConfig) -> dict[str, benchmarks.Benchmark]:
    rule = find_form_rule(config.model)
    loaded = {Path(name).stem: benchmarks.load(name, config.prompt or "chat", config.data) for name in config.tasks}
    for name, benchmark in loaded.items():
        if rule:
            for row in benchmark.rows:
                row["meta"]["forms"] = rule
        if benchmark.broken:
            total = benchmark.broken + len(benchmark.rows)
            print(f"warning: {name}: {benchmark.broken} of {total} records are broken and were skipped", file=sys.stderr)
        if mixture := find_trained_on(config.model, benchmark.source["task"], benchmark.source.get("path")):
            trained = f"{config.model} was trained on problems of this dataset ({mixture})"
            print(f"warning: {name}: {trained}; its accuracy is not that on unseen data", file=sys.stderr)
    return {str(Path(config.out) / name): benchmark for name, benchmark in loaded.items()}


def _make_spec(
    config: EvalConfig, out: str, benchmark: benchmarks.Benchmark, tokenizer, ends: frozenset[int], context: int
) -> EvalSpec:
    rows = pick(benchmark.rows, config.problems)
    prompt_ids = encode_prompts(tokenizer, [row["prompt"] for row in rows])
    longest = max(map(len, prompt_ids))
    default = benchmark.max_tokens or _twice_longest_solution(tokenizer, rows)
    max_tokens = config.max_tokens or min(default, context - longest)
    if max_tokens < 1 or longest + max_tokens > context:
        need = f"longest prompt ({longest} tokens) + max tokens ({max_tokens})"
        raise InputError(f"{need} is more than the model's context of {context}; lower --max-tokens")
    settings = {
        "model": config.model,
        "temperature": config.temperature,
        "seed": config.seed,
        "max_tokens": max_tokens,
        "samples": config.samples,
        "asked": benchmark.origin,
        "problems": len(rows),
        "shots": benchmark.shots,
        "stop": list(benchmark.stop),
        # what may change behind a name: weights and problems
        "weights": weight_files(config.model),
        "data": _digest([prompt_ids, [row["answer"] for row in rows]]),
    }
    scoring = {"scored_with": _digest([[row["meta"], row["completion"]] for row in rows])} if config.mixture else {}
    if benchmark.p_cot_by_source:
        scoring["p_cot_by_source"] = benchmark.p_cot_by_source
    sampling = Sampling(config.samples, config.temperature, max_tokens, ends, benchmark.stop)
    return EvalSpec(out, rows, prompt_ids, sampling, settings, scoring)


def _digest(values: list) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _twice_longest_solution(tokenizer, rows: list[dict]) -> int:
    texts = [text_of(row["completion"]) for row in rows]
    return 2 * max(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])
