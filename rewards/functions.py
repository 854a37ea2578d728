"""Reward functions with TRL's signature, all from one scoring of the batch.

`answer` is end-to-end: 1 when the final answer is right. `chain` is 1 when the whole long form is right (synthetic tasks).
"""

import json
from collections.abc import Callable, Collection

from rewards.accounting import account
from rewards.scorer import Verdict, score

NAMES = ("answer", "chain")


def text_of(completion: str | list[dict]) -> str:
    """The text of a completion: a string, or the last message's content."""
    return completion if isinstance(completion, str) else completion[-1]["content"]


def dump_meta(row: dict) -> str:
    """A row's meta as the JSON string that the reward functions take; a column of dicts would be padded to one schema."""
    return json.dumps(row["meta"])


def make_reward_functions(names: list[str], end_ids: Collection[int]) -> list[Callable]:
    """The named reward functions, in order; the first also logs the length accounting and the verdicts of each batch.

    Args:
        names: of NAMES.
        end_ids: token ids that end a completion; one without is truncated.
    """
    last: dict = {"batch": None, "verdicts": []}

    def is_truncated(ids: list[int]) -> bool:
        return not ids or ids[-1] not in end_ids

    def judge(completions, completion_ids, answer, meta) -> list[Verdict]:
        if last["batch"] is not completions:  # TRL hands every reward function the same list object
            rows = zip(completions, answer, meta, completion_ids, strict=True)
            last["verdicts"] = [score(text_of(c), a, json.loads(m), is_truncated(ids)) for c, a, m, ids in rows]
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
        def reward(completions, completion_ids, answer, meta, log_metric, log_extra, **_) -> list[float]:
            verdicts = judge(completions, completion_ids, answer, meta)
            if first:
                log(verdicts, completion_ids, answer, log_metric, log_extra)
            if name == "chain":
                return [float(v.chain) for v in verdicts]
            return [float(v.outcome == "correct") for v in verdicts]

        reward.__name__ = name
        return reward

    return [make(name, i == 0) for i, name in enumerate(names)]
