"""The built-in rewards, by name: functions of a scored batch. Their keyword arguments are the parameters in YAML.

answer         1 if the final answer is correct
chain          1 if the completion equals the long form (synthetic tasks), or if the final answer and all calculations are
               correct and there is at least one (GSM8K's style)
valid          1 if the completion is correct in either form: `chain`, or the correct answer alone. The chain-of-thought
               reward of arXiv 2510.11495
format         1 if the answer is marked in the mixture's style
cosine         correct: 1 to 0.5 with growing length; wrong: -1 to -0.5 (arXiv 2502.03373, C.1); length in tokens
overlong       0 down to -1 over the last fifth of the token limit (arXiv 2503.14476, eq. 13); TRL's function
repetition     down to -1 with the share of repeated 3-grams (arXiv 2502.03373, C.2); TRL's function
length_cost    minus a price for each token
length_target  0 at a target length, down to -1 at zero or twice the target (the distance of arXiv 2503.04697, relative to it)
brevity        among the correct completions of a problem: 0.5 for the shortest to -0.5 for the longest; wrong: 0
               (arXiv 2501.12599, 2.3.3, with the correct completions alone)
"""

import functools
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from rewards.scorer import Verdict


@dataclass(frozen=True)
class Batch:
    """Scored completions, in order.

    Attributes:
        verdicts: the verifier's.
        completion_ids: token ids, with the end token.
        lengths: in tokens, without the end token.
        problem_ids: of each completion; those of one problem are a group.
        limit: max_completion_length.
    """

    verdicts: list[Verdict]
    completion_ids: list[list[int]]
    lengths: list[int]
    problem_ids: list[str]
    limit: int


# Rewards that depend only on the verdict.
VERIFIED = {
    "answer": lambda v: v.outcome == "correct",
    "chain": lambda v: bool(v.chain),
    "valid": lambda v: bool(v.chain) or (v.form == "short" and v.outcome == "correct"),
    "format": lambda v: v.strict_outcome != "unparseable",
}


def _verified(earns: Callable[[Verdict], bool], batch: Batch) -> list[float]:
    return [float(earns(verdict)) for verdict in batch.verdicts]


def cosine_scaled(
    correct: bool, length: int, limit: int, wrong: tuple[float, float] = (-1.0, -0.5), right: tuple[float, float] = (1.0, 0.5)
) -> float:
    """Interpolates along half a cosine between the rewards of an empty completion and of one at the token limit."""
    short, long = right if correct else wrong
    return long + 0.5 * (short - long) * (1 + math.cos(math.pi * min(length / limit, 1.0)))


def cosine(
    batch: Batch,
    max_length: int | None = None,
    min_value_wrong: float = -1.0,
    max_value_wrong: float = -0.5,
    min_value_correct: float = 0.5,
    max_value_correct: float = 1.0,
) -> list[float]:
    """`cosine_scaled`, with the parameter names of TRL's `get_cosine_scaled_reward`; the length includes the end token.

    A wrong completion earns `min_value_wrong` if empty, `max_value_wrong` at the limit; a correct one earns
    `max_value_correct` if empty, `min_value_correct` at the limit.
    """
    ends = ((min_value_wrong, max_value_wrong), (max_value_correct, min_value_correct))
    return [
        cosine_scaled(v.outcome == "correct", len(ids), max_length or batch.limit, *ends)
        for v, ids in zip(batch.verdicts, batch.completion_ids, strict=True)
    ]


def overlong(batch: Batch, max_length: int | None = None, cache: int | None = None) -> list[float]:
    """TRL's: 0 up to `max_length - cache` tokens, then down to -1 at `max_length`; by default the last fifth of the limit."""
    from trl.rewards import get_soft_overlong_punishment

    limit = max_length or batch.limit
    return get_soft_overlong_punishment(limit, cache or limit // 5)(completion_ids=batch.completion_ids)


def repetition(batch: Batch, ngram: int = 3, max_penalty: float = -1.0) -> list[float]:
    """TRL's: `max_penalty` times the share of repeated n-grams of tokens."""
    from trl.rewards import get_repetition_penalty_reward

    return get_repetition_penalty_reward(ngram, max_penalty)(completion_ids=batch.completion_ids)


def length_cost(batch: Batch, per_token: float) -> list[float]:
    """Minus `per_token` for each token."""
    return [-per_token * length for length in batch.lengths]


def length_target(batch: Batch, target: int) -> list[float]:
    """Minus the distance to `target` tokens, as a share of it, at most 1."""
    return [-min(abs(length - target) / target, 1.0) for length in batch.lengths]


def brevity(batch: Batch) -> list[float]:
    """Correct: 0.5 - (length - shortest) / (longest - shortest) among the correct completions of the problem; wrong: 0.

    All 0 in a group whose correct completions have the same length. Kimi k1.5's reward (arXiv 2501.12599) takes shortest and
    longest from all completions and also penalizes long wrong ones, so failing briefly pays more than failing at length.
    """
    correct = [verdict.outcome == "correct" for verdict in batch.verdicts]
    lengths = defaultdict(list)
    for is_correct, length, problem in zip(correct, batch.lengths, batch.problem_ids, strict=True):
        if is_correct:
            lengths[problem].append(length)
    rewards = []
    for is_correct, length, problem in zip(correct, batch.lengths, batch.problem_ids, strict=True):
        shortest, longest = (min(lengths[problem]), max(lengths[problem])) if is_correct else (0, 0)
        rewards.append(0.5 - (length - shortest) / (longest - shortest) if longest > shortest else 0.0)
    return rewards


BUILT_IN: dict[str, Callable[..., list[float]]] = {
    **{name: functools.partial(_verified, earns) for name, earns in VERIFIED.items()},
    "cosine": cosine,
    "overlong": overlong,
    "repetition": repetition,
    "length_cost": length_cost,
    "length_target": length_target,
    "brevity": brevity,
}


def check_values(parameters: dict) -> str | None:
    """What is wrong with the values of a built-in's parameters; None if nothing is."""
    for key, value in parameters.items():
        whole = key in ("max_length", "cache", "ngram", "target")
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not math.isfinite(value):
            return f"{key} is {value!r}; give a {'whole' if whole else 'finite'} number"
        if whole and value < 1:
            return f"{key} is {value}; it must be at least 1"
        if key == "per_token" and value < 0:
            return f"per_token is {value}; it is a price, so it must be at least 0"
        if key == "max_penalty" and value > 0:
            return f"max_penalty is {value}; it must be at most 0"
    if parameters.get("cache", 0) > parameters.get("max_length", math.inf):
        return f"cache is {parameters['cache']}, more than max_length, {parameters['max_length']}; make it smaller"
    return None
