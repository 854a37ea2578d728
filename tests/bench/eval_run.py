"""`eval run` of SmolLM2-135M on GSM8K against vLLM's own `LLM.generate` on the same prompts with the same token limit.

    python recipes/export_smollm2.py --out models/smollm2-135m && python tests/bench/eval_run.py --data DIR

Alternating in one run, on one engine, greedy. Ours is the whole command but for the engine's start: reading, generating,
scoring, metrics and writing. DIR holds gsm8k/test.jsonl; without it the
hub is asked.
"""

import argparse
import tempfile
from pathlib import Path

from measure import alternate, publish

from eval.generation import machine

machine.prepare()

from eval import benchmarks
from eval.__main__ import make_parser
from eval.evaluate import evaluate
from eval.generation.engines import Engine
from eval.generation.tokens import encode_prompts
from eval.model_folder import choose_dtype
from eval.scoring.eval_folder import read_completions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/smollm2-135m")
    parser.add_argument("--data")
    parser.add_argument("--problems", type=int, default=128)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()

    from transformers import AutoTokenizer
    from vllm import SamplingParams

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    rows = benchmarks.load("gsm8k", "chat", args.data).rows[: args.problems]
    prompts = [{"prompt_token_ids": ids} for ids in encode_prompts(tokenizer, [row["prompt"] for row in rows])]
    length = max(len(prompt["prompt_token_ids"]) for prompt in prompts) + args.max_tokens
    engine = Engine(0)
    llm = engine.start(args.model, choose_dtype(args.model), tokenizer, length).llm

    def ours() -> int:
        with tempfile.TemporaryDirectory() as folder:
            asked = ["run", "--model", args.model, "--tasks", "gsm8k", "--out", f"{folder}/e", "--max-truncated", "1"]
            asked += ["--problems", str(args.problems), "--max-tokens", str(args.max_tokens)]
            evaluate(make_parser().parse_args([*asked, *(["--data", args.data] if args.data else [])]), engine)
            return sum(
                row["n_tokens"] + (not row["truncated"]) for row in read_completions(str(Path(folder) / "e" / "gsm8k"))[0]
            )

    def raw() -> int:
        outputs = llm.generate(prompts, SamplingParams(temperature=0, max_tokens=args.max_tokens), use_tqdm=False)
        return sum(len(output.outputs[0].token_ids) for output in outputs)

    def fresh(way):
        def run() -> int:
            llm.reset_prefix_cache()
            return way()

        return run

    publish("eval run", *alternate(fresh(ours), fresh(raw), args.repeats), "tokens/s")


if __name__ == "__main__":
    main()
