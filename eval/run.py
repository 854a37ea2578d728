"""`eval run`: completions of a model on a mixture's test problems, scored. A run that was killed goes on where it was."""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from data_mix.errors import InputError
from data_mix.folder import check_folder, is_taken, read_rows, text_of
from eval.folder import write_folder
from eval.generate import Engine, context_length, decode, encode_prompts
from eval.parts import Parts

WARN_TRUNCATED = 0.01  # share of cut completions above which accuracy is not what the model can do


def check(args: Namespace) -> None:
    """What can be known to be wrong before a model is loaded."""
    check_folder(args.mixture)
    if is_taken(args.out):
        raise InputError(f"--out {args.out} holds another eval already; give another folder, or remove it first")
    check_model_path(args.model, "--model", "give a folder that a recipe saved, or a hub id")
    if args.samples < 1 or args.temperature < 0:
        raise InputError("--samples must be at least 1 and --temperature at least 0")
    if args.samples > 1 and args.temperature == 0:
        raise InputError(f"--samples {args.samples} at temperature 0 are all the same; add --temperature 1.0")


def check_model_path(model: str, what: str, made_by: str) -> None:
    """Raises InputError for a local path without a model in it; a hub id (owner/name) passes."""
    folder = Path(model)
    is_hub_id = model.count("/") == 1 and not model.startswith((".", "/", "~")) and not folder.parent.exists()
    if not (folder / "config.json").is_file() and not is_hub_id:
        raise InputError(f"{what} {model}: no model there; {made_by}")


def find_checkpoints(run: str) -> dict[int, Path]:
    """Step or round → `checkpoint-N` in a run's folder, in order."""
    found = {int(path.name.split("-")[1]): path for path in Path(run).glob("checkpoint-*") if path.is_dir()}
    return dict(sorted(found.items()))


def choose_dtype(model: str) -> str:
    """The precision the checkpoint was trained to compute in (a recipe's recipe.json), else the one it is stored in."""
    folder = Path(model)
    recipe = (folder.parent if folder.name.startswith("checkpoint-") else folder) / "recipe.json"
    if recipe.is_file():
        fields = json.loads(recipe.read_text(encoding="utf-8"))
        return "bfloat16" if fields.get("bf16") else "float16" if fields.get("fp16") else "float32"
    return "auto"


def evaluate(args: Namespace, engine: Engine) -> dict:
    """Generates, scores and writes the eval folder; returns its metrics."""
    check(args)
    from eval import machine

    machine.prepare()
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    rows = read_rows(args.mixture, "test")[: args.problems]
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    ends = GenerationConfig.from_pretrained(args.model).eos_token_id
    ends = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
    prompt_ids = encode_prompts(tokenizer, [row["prompt"] for row in rows])
    longest = max(len(ids) for ids in prompt_ids)
    context = context_length(AutoConfig.from_pretrained(args.model))
    max_tokens = args.max_tokens or min(_twice_the_longest_solution(tokenizer, rows), context - longest)
    if max_tokens < 1 or longest + max_tokens > context:
        need = f"longest prompt ({longest} tokens) + max tokens ({max_tokens})"
        raise InputError(f"{need} is more than the model's context of {context}; lower --max-tokens")
    parts = Parts(args.out, _settings(args, max_tokens))
    todo = [number for number in range(len(rows)) if number not in parts.done]
    if todo:
        started = engine.start(args.model, choose_dtype(args.model), tokenizer, longest + max_tokens)
        asked = [prompt_ids[number] for number in todo]
        stream = started.stream(asked, args.samples, args.temperature, max_tokens, ends, todo)
        for number, samples in _with_progress(stream, len(rows), len(parts.done)):
            parts.add(number, samples)
        parts.flush()
    completions = []
    for number, row in enumerate(rows):
        for i, ids in enumerate(parts.done[number]):
            completion = decode(tokenizer, ids, ends)
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
    info = {"model": args.model, "temperature": args.temperature, "seed": args.seed, "max_tokens": max_tokens}
    metrics = write_folder(args.out, completions, info)
    parts.remove()
    if metrics["truncated"] > WARN_TRUNCATED:
        share = f"{metrics['truncated']:.1%} of the completions were cut at {max_tokens} tokens"
        print(
            f"warning: {args.out}: {share} and are not right however they would have ended; raise --max-tokens", file=sys.stderr
        )
    return metrics


def _settings(args: Namespace, max_tokens: int) -> dict:
    """What decides the completions; a checkpoint that was trained again is another one."""
    weights = sorted(Path(args.model).glob("*.safetensors"))
    stamps = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in weights]
    plain = ("model", "mixture", "samples", "temperature", "problems", "seed")
    return {name: getattr(args, name) for name in plain} | {"max_tokens": max_tokens, "weights": stamps}


def _with_progress(stream: Iterator, total: int, done: int) -> Iterator:
    """Passes the stream on, with a bar of problems, tokens a second and the time left."""
    from tqdm.auto import tqdm

    tokens, began = 0, time.monotonic()
    with tqdm(total=total, initial=done, desc="problems", mininterval=1) as bar:
        for number, samples in stream:
            tokens += sum(map(len, samples))
            bar.set_postfix_str(f"{tokens / (time.monotonic() - began):.0f} tokens/s", refresh=False)
            bar.update()
            yield number, samples


def _twice_the_longest_solution(tokenizer, rows: list[dict]) -> int:
    texts = [text_of(row["completion"]) for row in rows]
    return 2 * max(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])
