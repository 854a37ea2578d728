"""`eval run`: completions of a model on a mixture's test problems, scored."""

import importlib.util
import json
from argparse import Namespace
from pathlib import Path

from data_mix.errors import InputError
from data_mix.folder import check_folder, is_taken, read_rows, text_of
from eval.folder import write_folder


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


def choose_dtype(model: str) -> str:
    """The precision the checkpoint was trained to compute in (a recipe's recipe.json), else the one it is stored in."""
    recipe = Path(model) / "recipe.json"
    if recipe.is_file():
        fields = json.loads(recipe.read_text(encoding="utf-8"))
        return "bfloat16" if fields.get("bf16") else "float16" if fields.get("fp16") else "float32"
    return "auto"


def evaluate(args: Namespace) -> dict:
    """Generates, scores and writes the eval folder; returns its metrics."""
    check(args)
    from eval import machine

    machine.prepare()
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    from eval.generate import context_length, decode, encode_prompts

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
    engine = _start_engine(args, tokenizer, longest + max_tokens)
    generated = engine.generate(prompt_ids, args.samples, args.temperature, max_tokens, ends)
    completions = []
    for row, samples in zip(rows, generated, strict=True):
        for i, ids in enumerate(samples):
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
    return write_folder(args.out, completions, info)


def _twice_the_longest_solution(tokenizer, rows: list[dict]) -> int:
    texts = [text_of(row["completion"]) for row in rows]
    return 2 * max(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])


def _start_engine(args: Namespace, tokenizer, max_length: int):
    from eval.generate import TransformersEngine, VLLMEngine

    dtype = choose_dtype(args.model)
    if importlib.util.find_spec("vllm"):
        return VLLMEngine(args.model, dtype, max_length, args.seed)
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype).eval()
    return TransformersEngine(model, tokenizer, args.seed)
