"""`eval run`: generates and scores completions on a mixture's test problems or on benchmarks. Runs are resumable."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from data_mix.errors import InputError
from data_mix.mixture_folder import is_taken
from eval.eval_config import EvalConfig
from eval.eval_spec import EvalSpec, make_specs
from eval.generation import machine
from eval.generation.engines import LazyEngine
from eval.generation.server_engine import ServerEngine
from eval.generation.server_folder import read_token
from eval.generation.spool import Spool, find_changes
from eval.generation.tokens import decode
from eval.model_folder import load_tokenizer
from eval.scoring.eval_folder import COMPLETIONS, METRICS, read_completions, read_metrics, read_settings, write_folder
from rewards.functions import text_of

WARN_TRUNCATED = 0.01  # share of truncated completions above which accuracy understates the model


def evaluate(config: EvalConfig, engine: LazyEngine | None = None) -> dict[str, dict]:
    """Generates, scores and writes the eval folders of a config; finished folders are kept.

    Args:
        config: what to evaluate.
        engine: pass the same one to several calls and it starts only once; see `LazyEngine`.

    Returns:
        Eval folder → the content of its metrics.json.

    Raises:
        InputError: for an invalid config, a folder that holds another eval, or, once everything is written, too many
            truncated completions.
    """
    config.check()
    machine.prepare()
    tokenizer = load_tokenizer(config.model, "--model")
    specs = make_specs(config, tokenizer)
    if config.base_url:
        engine = ServerEngine(config.base_url, read_token(Path(config.token_file)) if config.token_file else None)
    engine = engine or LazyEngine()
    pending = [(spec, Spool(spec.out, spec.settings)) for spec in specs if not _is_finished(spec)]
    # an engine of ours is started for finished evals as well, because with several models it may go on to another one
    needed = [spec for spec, _ in pending] if config.base_url else specs
    max_length = max((spec.max_length for spec in needed), default=0)
    for spec, spool in pending:
        if not _is_finished(spec):  # the process that held the lock until now may have finished it
            _generate(config, spec, spool, engine, tokenizer, max_length)
            write_folder(spec.out, _make_rows(spec, spool.done, tokenizer), spec.settings | spec.scoring)
        spool.remove()
    metrics = {spec.out: read_metrics(spec.out) for spec in specs}
    for spec in specs:
        _check_truncated(spec, metrics[spec.out]["truncated"], config.max_truncated)
    return metrics


def _is_finished(spec: EvalSpec) -> bool:
    """Whether the folder already holds this eval; raises InputError if it holds anything else."""
    if not is_taken(spec.out):
        return False
    is_eval = (Path(spec.out) / COMPLETIONS).is_file()
    changed = find_changes(read_settings(spec.out), spec.settings | spec.scoring) if is_eval else []
    if is_eval and not changed:
        if not (Path(spec.out) / METRICS).is_file():  # a process was killed between writing the two files
            write_folder(spec.out, *read_completions(spec.out))
        return True
    difference = f" (changed: {', '.join(changed)})" if changed else ""
    raise InputError(f"--out {spec.out} already holds another eval{difference}; give another folder, or remove it first")


def _generate(config: EvalConfig, spec: EvalSpec, spool: Spool, engine: LazyEngine, tokenizer, max_length: int) -> None:
    todo = [number for number in range(len(spec.rows)) if number not in spool.done]
    if todo:
        loaded = engine.load(config.model, tokenizer, max_length, config.seed)
        stream = loaded.stream([spec.prompt_ids[number] for number in todo], spec.sampling, todo)
        for number, samples in _with_progress(stream, spec, len(spool.done)):
            spool.add(number, samples)
        spool.flush()


def _with_progress(stream: Iterator, spec: EvalSpec, done: int) -> Iterator:
    """Yields from the stream behind a progress bar of problems and tokens per second."""
    from tqdm.auto import tqdm

    tokens, began = 0, time.monotonic()
    with tqdm(total=len(spec.rows), initial=done, desc=Path(spec.out).name, mininterval=1) as bar:
        for number, samples in stream:
            tokens += sum(map(len, samples))
            bar.set_postfix_str(f"{tokens / (time.monotonic() - began):.0f} tokens/s", refresh=False)
            bar.update()
            yield number, samples


def _make_rows(spec: EvalSpec, generated: dict[int, list[list[int]]], tokenizer) -> list[dict]:
    """The unscored rows of completions.parquet, in the order of the problems."""
    rows = []
    for number, problem in enumerate(spec.rows):
        for sample, ids in enumerate(generated[number]):
            completion = decode(tokenizer, ids, spec.sampling.end_ids, spec.sampling.stop)
            rows.append(
                {
                    "problem_id": problem["problem_id"],
                    "source": problem["source"],
                    "sample": sample,
                    "prompt": problem["prompt"],
                    "completion": completion.text,
                    "answer": problem["answer"],
                    "meta": json.dumps({"steps": _count_steps(problem), **problem["meta"]}),
                    "n_tokens": completion.n_tokens,
                    "truncated": completion.truncated,
                }
            )
    return rows


def _count_steps(problem: dict) -> int:
    """The number of steps in a problem's reference solution: lines before the answer, or what a synthetic task counts."""
    text, style = text_of(problem["completion"]).strip(), problem["meta"]["style"]
    if style == "parity":
        return len(text)
    return text.count(";") + 1 if style == "multiplication" else text.count("\n")


def _check_truncated(spec: EvalSpec, truncated: float, limit: float) -> None:
    problem = f"{spec.out}: {truncated:.1%} of the completions were truncated at {spec.sampling.max_tokens} tokens"
    if truncated > limit:
        raise InputError(f"{problem}, more than --max-truncated {limit:g}, so accuracy is unreliable; raise --max-tokens")
    if truncated > WARN_TRUNCATED:
        print(f"warning: {problem} and count as wrong; raise --max-tokens", file=sys.stderr)
