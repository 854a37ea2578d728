"""The rewards of a config as functions with TRL's signature. The built-in ones score each batch once for all of them."""

import json
from collections.abc import Callable, Collection, Sequence

from rewards import own, specs
from rewards.accounting import account
from rewards.built_in import BUILT_IN, Batch
from rewards.scorer import Item, Verdict, score


def text_of(messages: str | list[dict]) -> str:
    """The text of a prompt or completion: the string itself, or the content of the last message."""
    return messages if isinstance(messages, str) else messages[-1]["content"]


def dump_meta(row: dict) -> str:
    """A row's meta as the JSON string that the reward functions expect; datasets would pad a column of dicts to one schema."""
    return json.dumps(row["meta"])


def has_chain(meta: dict) -> bool:
    """Whether a problem's chain can be checked, as the reward `chain` requires."""
    return "long" in meta or meta["style"] == "gsm8k"


def make_reward_functions(rewards: Sequence[str | dict], end_ids: Collection[int], max_length: int) -> list[Callable]:
    """The listed rewards, in order; the first one also logs the length accounting and verdicts of each batch.

    All are called with keyword arguments, as TRL does: `meta` as JSON, which user-defined functions get as dicts.

    Args:
        rewards: the entries of a config (specs.py).
        end_ids: end-of-text token ids; a completion that ends in none of them is truncated.
        max_length: token limit of a completion.

    Raises:
        ValueError: for an entry that cannot be used.
        RewardError: when called, if a user-defined function raises or returns something wrong.
    """
    last: dict = {"batch": None, "verdicts": []}

    def is_truncated(ids: list[int]) -> bool:
        return not ids or ids[-1] not in end_ids

    def lengths_of(completion_ids: list[list[int]]) -> list[int]:
        return [len(ids) - (not is_truncated(ids)) for ids in completion_ids]

    def judge(completions, completion_ids, answer, meta) -> list[Verdict]:
        if last["batch"] is not completions:  # TRL passes the same list object to every reward function
            rows = zip(completions, answer, meta, completion_ids, strict=True)
            last["verdicts"] = score([Item(text_of(c), a, json.loads(m), is_truncated(ids)) for c, a, m, ids in rows])
            last["batch"] = completions
        return last["verdicts"]

    def log(completions, completion_ids, answer, meta, log_metric, log_extra, **_) -> None:
        verdicts = judge(completions, completion_ids, answer, meta)
        truncated = [is_truncated(ids) for ids in completion_ids]
        for name, value in account(verdicts, lengths_of(completion_ids), truncated).items():
            log_metric(name, value)
        log_extra("gold", list(answer))
        log_extra("extracted", [v.extracted for v in verdicts])
        log_extra("outcome", [v.outcome for v in verdicts])

    def built_in(spec: specs.Spec) -> Callable:
        def compute(completions, completion_ids, answer, meta, problem_id=(), **_) -> list[float]:
            verdicts = judge(completions, completion_ids, answer, meta)
            batch = Batch(verdicts, completion_ids, lengths_of(completion_ids), list(problem_id), max_length)
            return BUILT_IN[spec.reward](batch, **spec.parameters)

        return compute

    def make(spec: specs.Spec, first: bool) -> Callable:
        compute = own.guarded(spec.name, own.load(spec.reward), spec.parameters) if spec.is_own else built_in(spec)

        def prepare(arguments: dict) -> dict:
            if first:
                log(**arguments)
            return arguments | {"meta": list(map(json.loads, arguments["meta"]))} if spec.is_own else arguments

        async def reward_async(**arguments) -> list[float | None]:
            return await compute(**prepare(arguments))

        def reward(**arguments) -> list[float | None]:
            return compute(**prepare(arguments))

        function = reward_async if own.is_async(compute) else reward
        function.__name__ = spec.name
        return function

    return [make(spec, i == 0) for i, spec in enumerate(specs.parse(rewards))]
