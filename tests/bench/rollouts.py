"""Rollouts of SmolLM2-135M: vLLM as the recipes start it against transformers' generate; same prompts, n and token limit.

    python recipes/export_smollm2.py --out models/smollm2-135m && python tests/bench/rollouts.py

Reports tokens/s, counting tokens up to each completion's end; the two run alternately.
"""

import argparse

from measure import alternate, choose_dtype, publish

from eval.generation import machine

machine.prepare()

from eval.generation.engines import Sampling, TransformersEngine, in_order
from eval.generation.tokens import decode, encode_prompts, end_ids
from recipes.training.patches.trl import prepare_engine

QUESTIONS = [f"Tom has {n} apples and buys {n + 3} more. He eats {n // 2}. How many has he left?" for n in range(12, 24)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/smollm2-135m")
    parser.add_argument("--n", type=int, default=8, help="completions per prompt")
    parser.add_argument("--limit", type=int, default=96, help="tokens per completion")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()

    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl.generation import vllm_generation
    from vllm import SamplingParams

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    prompts = encode_prompts(tokenizer, [[{"role": "user", "content": q}] for q in QUESTIONS])
    length = max(map(len, prompts)) + args.limit
    prepare_engine(seed=0, dtype=choose_dtype())
    engine = vllm_generation.LLM(  # with the arguments of TRL's colocate mode
        model=args.model,
        max_model_len=length,
        max_num_seqs=len(prompts) * args.n,
        max_num_batched_tokens=4096,
        logprobs_mode="processed_logprobs",
        seed=0,
    )
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=choose_dtype()).eval()
    theirs = TransformersEngine(model, tokenizer, seed=0)
    ends = end_ids(tokenizer)

    def count(samples: list[list[int]]) -> int:
        return sum(decode(tokenizer, sample, ends).n_tokens for sample in samples)

    def ours() -> int:
        """As in TRL's colocate mode: one request per completion, with log-probs, without a per-request seed."""
        requests = [{"prompt_token_ids": ids} for ids in prompts for _ in range(args.n)]
        outputs = engine.generate(requests, SamplingParams(max_tokens=args.limit, logprobs=0), use_tqdm=False)
        return count([output.outputs[0].token_ids for output in outputs])

    def reference() -> int:
        outputs = in_order(theirs.stream(prompts, Sampling(args.n, 1.0, args.limit, frozenset(ends))))
        return count([sample for samples in outputs for sample in samples])

    publish("rollouts", *alternate(ours, reference, args.repeats), "tokens/s")


if __name__ == "__main__":
    main()
