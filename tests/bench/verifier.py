"""Compares the verifier with math-verify and TRL's accuracy_reward on solutions of real GSM8K and MATH problems.

    python tests/bench/verifier.py --data ../shared/data

Each problem gets two completions: its own solution, which is right, and the next problem's, which rarely is. The verifiers
alternate; figures are medians. Prints CPU seconds per 1,000 completions, workers included, wall seconds for a batch of 1,024,
and how many completions each judged correct.
"""

import argparse
import resource
import time
from pathlib import Path

from measure import publish


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def completions(data: Path, name: str, n: int) -> list[tuple[str, str]]:
    """(completion, gold answer) pairs."""
    from data_mix.tasks import gsm8k, math

    problems = {"gsm8k": gsm8k, "math": math}[name].read("refuse", path=str(data / name)).test[: n // 2]
    mark = "#### {}" if name == "gsm8k" else "The final answer is $\\boxed{{{}}}$."
    texts = ["\n".join((*p.steps, mark.format(p.answer))) for p in problems]
    golds = [p.answer for p in problems]
    return [*zip(texts, golds, strict=True), *zip(texts[1:] + texts[:1], golds, strict=True)]


def ours(pairs: list[tuple[str, str]], style: str) -> int:
    from rewards.scorer import Item, score

    return sum(v.outcome == "correct" for v in score([Item(text, gold, {"style": style}) for text, gold in pairs]))


def math_verify(pairs: list[tuple[str, str]], style: str) -> int:
    from math_verify import parse, verify

    right = 0
    for text, gold in pairs:
        last = text.rsplit("####", 1)[-1] if style == "gsm8k" else text
        right += verify(parse(f"${gold}$"), parse(last))
    return right


def trl_reward(pairs: list[tuple[str, str]], style: str) -> int:
    from trl.rewards import accuracy_reward

    made = [[{"content": text.rsplit("####", 1)[-1] if style == "gsm8k" else text}] for text, _ in pairs]
    return sum(reward or 0 for reward in accuracy_reward(made, [f"${gold}$" for _, gold in pairs]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    for name, style in (("gsm8k", "gsm8k"), ("math", "boxed")):
        pairs = completions(args.data, name, 1024)
        cpu, wall, right = {}, {}, {}
        for repeat in range(args.repeats + 1):
            for judge in (ours, math_verify, trl_reward):
                from rewards import equality

                equality._parse_answer.cache_clear()
                began = cpu_seconds(), time.perf_counter()
                right[judge.__name__] = int(judge(pairs, style))
                if repeat:  # the first repeat imports the libraries
                    cpu.setdefault(judge.__name__, []).append((cpu_seconds() - began[0]) * 1000 / len(pairs))
                    wall.setdefault(judge.__name__, []).append(time.perf_counter() - began[1])
        print(f"{name}: judged right: {right}", flush=True)
        publish(f"verifier on {name}, math-verify", cpu["ours"], cpu["math_verify"], "s of CPU a 1000")
        publish(f"verifier on {name}, TRL's reward", wall["ours"], wall["trl_reward"], "s a 1024")


if __name__ == "__main__":
    main()
