"""Reward functions with TRL's signature. Each batch is scored once for all of them. Recipes list them, with weights, in YAML.

answer       1 if the final answer is correct
chain        1 if the completion equals the long form (synthetic tasks), or if the final answer and all calculations are
             correct and there is at least one (GSM8K's style)
valid        1 if the completion is correct in either form: `chain`, or the correct answer alone. The chain-of-thought reward
             of arXiv 2510.11495
format       1 if the answer is marked in the mixture's style
cosine       correct: 1 to 0.5 with growing length; wrong: -1 to -0.5 (arXiv 2502.03373, C.1); length in tokens
overlong     0 down to -1 over the last fifth of the token limit (arXiv 2503.14476, eq. 13); TRL's function
repetition   down to -1 with the share of repeated 3-grams (arXiv 2502.03373, C.2); TRL's function
"""

import json
import math
from collections.abc import Callable, Collection

from rewards.accounting import account
from rewards.scorer import Item, Verdict, score

# Rewards that depend only on the verdict.
VERIFIED = {
    "answer": lambda v: v.outcome == "correct",
    "chain": lambda v: bool(v.chain),
    "valid": lambda v: bool(v.chain) or (v.form == "short" and v.outcome == "correct"),
    "format": lambda v: v.strict_outcome != "unparseable",
}
NAMES = (*VERIFIED, "cosine", "overlong", "repetition")


def text_of(messages: str | list[dict]) -> str:
    """The text of a prompt or completion: the string itself, or the content of the last message."""
    return messages if isinstance(messages, str) else messages[-1]["content"]


def dump_meta(row: dict) -> str:
    """A row's meta as the JSON string that the reward functions expect; datasets would pad a column of dicts to one schema."""
    return json.dumps(row["meta"])


def has_chain(meta: dict) -> bool:
    """Whether a problem's chain can be checked, as the reward `chain` requires."""
    return "long" in meta or meta["style"] == "gsm8k"


def cosine_scaled(correct: bool, length: int, limit: int) -> float:
    """Interpolates along half a cosine between the rewards of an empty completion and of one at the token limit."""
    short, long = (1.0, 0.5) if correct else (-1.0, -0.5)
    return long + 0.5 * (short - long) * (1 + math.cos(math.pi * min(length / limit, 1.0)))


def make_reward_functions(names: list[str], end_ids: Collection[int], max_length: int) -> list[Callable]:
    """The named reward functions, in order; the first one also logs the length accounting and verdicts of each batch.

    Args:
        names: a subset of NAMES.
        end_ids: end-of-text token ids; a completion that ends in none of them is truncated.
        max_length: token limit of a completion.
    """
    last: dict = {"batch": None, "verdicts": []}

    def is_truncated(ids: list[int]) -> bool:
        return not ids or ids[-1] not in end_ids

    def judge(completions, completion_ids, answer, meta) -> list[Verdict]:
        if last["batch"] is not completions:  # TRL passes the same list object to every reward function
            rows = zip(completions, answer, meta, completion_ids, strict=True)
            last["verdicts"] = score([Item(text_of(c), a, json.loads(m), is_truncated(ids)) for c, a, m, ids in rows])
            last["batch"] = completions
        return last["verdicts"]

    def log(verdicts, completion_ids, answer, log_metric, log_extra) -> None:
        truncated = [is_truncated(ids) for ids in completion_ids]
        lengths = [len(ids) - (not cut) for ids, cut in zip(completion_ids, truncated, strict=True)]
        for name, value in account(verdicts, lengths, truncated).items():
            log_metric(name, value)
        log_extra("gold", list(answer))
        log_extra("extracted", [v.extracted for v in verdicts])
        log_extra("outcome", [v.outcome for v in verdicts])

    def make(name: str, first: bool) -> Callable:
        compute = _compute_function(name, max_length)

        def reward(completions, completion_ids, answer, meta, log_metric, log_extra, **_) -> list[float]:
            verdicts = judge(completions, completion_ids, answer, meta)
            if first:
                log(verdicts, completion_ids, answer, log_metric, log_extra)
            return compute(verdicts, completion_ids)

        reward.__name__ = name
        return reward

    return [make(name, i == 0) for i, name in enumerate(names)]


def _compute_function(name: str, max_length: int) -> Callable[[list[Verdict], list[list[int]]], list[float]]:
    """A function from verdicts and completion ids to rewards."""
    if name in ("overlong", "repetition"):
        from trl.rewards import get_repetition_penalty_reward, get_soft_overlong_punishment

        penalty = (
            get_soft_overlong_punishment(max_length, max_length // 5) if name == "overlong" else get_repetition_penalty_reward()
        )
        return lambda verdicts, ids: penalty(completion_ids=ids)
    if name == "cosine":
        return lambda verdicts, ids: [
            cosine_scaled(v.outcome == "correct", len(tokens), max_length) for v, tokens in zip(verdicts, ids, strict=True)
        ]
    reward = VERIFIED[name]
    return lambda verdicts, ids: [float(reward(v)) for v in verdicts]
