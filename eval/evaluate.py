"""`eval run`: completions of a model on a mixture's test problems or on benchmarks, scored; an interrupted run is resumable."""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_mix.errors import InputError
from data_mix.mixture_folder import check_folder, is_taken
from eval import benchmarks
from eval.generation.engines import Engine, Sampling
from eval.generation.spool import Spool
from eval.generation.tokens import context_length, decode, encode_prompts
from eval.model_folder import check_model_path, choose_dtype
from eval.scoring.eval_folder import COMPLETIONS, METRICS, read_completions, read_metrics, read_settings, write_folder
from rewards.functions import text_of

WARN_TRUNCATED = 0.01  # share of cut completions above which accuracy is not what the model can do


@dataclass(frozen=True)
class Plan:
    """One eval folder to be: where, of which problems, how asked, and `settings`, which is whatever decides the completions."""

    out: str
    rows: list[dict]
    prompt_ids: list[list[int]]
    sampling: Sampling
    settings: dict

    @property
    def longest(self) -> int:
        """The longest prompt, in tokens."""
        return max(map(len, self.prompt_ids))


def check(args: Namespace) -> None:
    """What can be known to be wrong before a model is loaded."""
    if args.mixture:
        check_folder(args.mixture)
        if args.prompt or args.data:
            raise InputError("--prompt and --data go with --tasks; a mixture's test problems are asked as its train rows are")
    for name in args.tasks or []:
        benchmarks.check(name)
    check_model_path(args.model, "--model", "give a folder that a recipe saved, or a hub id")
    if args.samples < 1 or args.temperature < 0:
        raise InputError("--samples must be at least 1 and --temperature at least 0")
    if args.samples > 1 and args.temperature == 0:
        raise InputError(f"--samples {args.samples} at temperature 0 are all the same; add --temperature 1.0")


def evaluate(args: Namespace, engine: Engine) -> dict[str, dict]:
    """Generates, scores and writes each eval folder; returns folder → metrics. A folder that is there already is kept.

    Raises:
        InputError: for wrong arguments, a folder of another eval, or, once all is written, too many cut completions.
    """
    check(args)
    from eval.generation import machine

    machine.prepare()
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    try:
        tokenizer = AutoTokenizer.from_pretrained(args.model)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--model {args.model}: no tokenizer there ({reason}); save the model's own beside it") from None
    ends = GenerationConfig.from_pretrained(args.model).eos_token_id
    ends = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
    context = context_length(AutoConfig.from_pretrained(args.model))
    asked = {args.out: benchmarks.from_mixture(args.mixture)} if args.mixture else _load_tasks(args)
    plans = [_plan(args, out, task, tokenizer, frozenset(ends), context) for out, task in asked.items()]
    missing = [(plan, Spool(plan.out, plan.settings)) for plan in plans if not _is_there(plan)]
    length = max((plan.longest + plan.sampling.max_tokens for plan, _ in missing), default=0)
    for plan, spool in missing:
        if not _is_there(plan):  # it may be by now, from the process that had the lock before
            _generate(args, plan, spool, engine, tokenizer, length)
            write_folder(plan.out, _completions(plan, spool.done, tokenizer), plan.settings)
        spool.remove()
    metrics = {plan.out: read_metrics(plan.out) for plan in plans}
    for plan in plans:
        _check_truncated(plan, metrics[plan.out]["truncated"], args.max_truncated)
    return metrics


def _generate(args: Namespace, plan: Plan, spool: Spool, engine: Engine, tokenizer, length: int) -> None:
    todo = [number for number in range(len(plan.rows)) if number not in spool.done]
    if todo:
        started = engine.start(args.model, choose_dtype(args.model), tokenizer, length)
        stream = started.stream([plan.prompt_ids[number] for number in todo], plan.sampling, todo)
        for number, samples in _with_progress(stream, plan, len(spool.done)):
            spool.add(number, samples)
        spool.flush()


def _load_tasks(args: Namespace) -> dict[str, benchmarks.Benchmark]:
    loaded = {Path(name).stem: benchmarks.load(name, args.prompt or "chat", args.data) for name in args.tasks}
    for name, task in loaded.items():
        if task.broken:
            total = task.broken + len(task.rows)
            print(f"warning: {name}: {task.broken} of {total} records are broken and left out", file=sys.stderr)
    return {str(Path(args.out) / name): task for name, task in loaded.items()}


def _plan(args: Namespace, out: str, task: benchmarks.Benchmark, tokenizer, ends: frozenset[int], context: int) -> Plan:
    rows = task.rows[: args.problems]
    prompt_ids = encode_prompts(tokenizer, [row["prompt"] for row in rows])
    longest = max(map(len, prompt_ids))
    max_tokens = args.max_tokens or min(task.max_tokens or _twice_the_longest_solution(tokenizer, rows), context - longest)
    if max_tokens < 1 or longest + max_tokens > context:
        need = f"longest prompt ({longest} tokens) + max tokens ({max_tokens})"
        raise InputError(f"{need} is more than the model's context of {context}; lower --max-tokens")
    # a checkpoint that was trained again is another one
    stamps = [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in sorted(Path(args.model).glob("*.safetensors"))]
    settings = {
        "model": args.model,
        "temperature": args.temperature,
        "seed": args.seed,
        "max_tokens": max_tokens,
        "samples": args.samples,
        "asked": task.asked,
        "problems": len(rows),
        "shots": task.shots,
        "stop": list(task.stop),
        "weights": stamps,
    }
    return Plan(out, rows, prompt_ids, Sampling(args.samples, args.temperature, max_tokens, ends, task.stop), settings)


def _is_there(plan: Plan) -> bool:
    """Whether the folder holds this very eval already; raises InputError when it holds something else."""
    if not is_taken(plan.out):
        return False
    if (Path(plan.out) / COMPLETIONS).is_file() and read_settings(plan.out) == plan.settings:
        if not (Path(plan.out) / METRICS).is_file():  # a process died between writing the two
            write_folder(plan.out, *read_completions(plan.out))
        return True
    raise InputError(f"--out {plan.out} holds another eval already; give another folder, or remove it first")


def _completions(plan: Plan, generated: dict[int, list[list[int]]], tokenizer) -> list[dict]:
    """The rows of completions.parquet before they are scored, in the problems' order."""
    completions = []
    for number, row in enumerate(plan.rows):
        for i, ids in enumerate(generated[number]):
            completion = decode(tokenizer, ids, plan.sampling.end_ids, plan.sampling.stop)
            completions.append(
                {
                    "problem_id": row["problem_id"],
                    "source": row["source"],
                    "sample": i,
                    "prompt": row["prompt"],
                    "completion": completion.text,
                    "answer": row["answer"],
                    "meta": json.dumps(row["meta"]),
                    "n_tokens": completion.n_tokens,
                    "truncated": completion.truncated,
                }
            )
    return completions


def _check_truncated(plan: Plan, truncated: float, limit: float) -> None:
    share = f"{plan.out}: {truncated:.1%} of the completions were cut at {plan.sampling.max_tokens} tokens"
    if truncated > limit:
        raise InputError(f"{share}, more than --max-truncated {limit:g}: its accuracy says little; raise --max-tokens")
    if truncated > WARN_TRUNCATED:
        print(f"warning: {share} and are not right however they would have ended; raise --max-tokens", file=sys.stderr)


def _with_progress(stream: Iterator, plan: Plan, done: int) -> Iterator:
    """Passes the stream on, with a bar of problems, tokens a second and the time left."""
    from tqdm.auto import tqdm

    tokens, began = 0, time.monotonic()
    with tqdm(total=len(plan.rows), initial=done, desc=Path(plan.out).name, mininterval=1) as bar:
        for number, samples in stream:
            tokens += sum(map(len, samples))
            bar.set_postfix_str(f"{tokens / (time.monotonic() - began):.0f} tokens/s", refresh=False)
            bar.update()
            yield number, samples


def _twice_the_longest_solution(tokenizer, rows: list[dict]) -> int:
    texts = [text_of(row["completion"]) for row in rows]
    return 2 * max(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])
