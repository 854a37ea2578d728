"""`eval run` of SmolLM2-135M on GSM8K against vLLM's `LLM.generate` with the same prompts and token limit.

    python recipes/export_smollm2.py --out models/smollm2-135m && python tests/bench/eval_run.py --data DIR

Greedy, alternating on one engine. Ours is the entire command except for starting the engine: reading, generating, scoring,
computing metrics and writing. DIR holds gsm8k/test.jsonl; without --data, GSM8K comes from the hub.
"""

import argparse
import tempfile

from measure import alternate, publish

from eval.generation import machine

machine.prepare()

from eval import benchmarks
from eval.eval_config import EvalConfig
from eval.evaluate import evaluate
from eval.generation.engines import LazyEngine
from eval.generation.tokens import encode_prompts
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
    engine = LazyEngine()
    llm = engine.load(args.model, tokenizer, length, seed=0).llm
    limits = {"data": args.data, "problems": args.problems, "max_tokens": args.max_tokens, "max_truncated": 1.0}

    def ours() -> int:
        with tempfile.TemporaryDirectory() as folder:
            [out] = evaluate(EvalConfig(args.model, f"{folder}/e", tasks=["gsm8k"], **limits), engine)
            return sum(row["n_tokens"] + (not row["truncated"]) for row in read_completions(out)[0])

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
