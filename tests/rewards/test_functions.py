"""Reward functions."""

import pytest

from rewards.built_in import BUILT_IN, cosine_scaled
from rewards.functions import dump_meta, make_reward_functions

END = 1
REQUIRED = {"length_cost": {"per_token": 0.01}, "length_target": {"target": 2}}  # the parameters without a default


def call(function, texts, ids, **logs):
    n = len(texts)
    meta = dump_meta({"meta": {"style": "parity", "long": "1001"}})
    log_metric, log_extra = logs.setdefault("metrics", {}), logs.setdefault("extra", {})
    rewards = function(
        prompts=["0"] * n,
        completions=texts,
        completion_ids=ids,
        answer=["1"] * n,
        meta=[meta] * n,
        trainer_state=None,
        log_metric=log_metric.__setitem__,
        log_extra=log_extra.__setitem__,
    )
    return rewards, log_metric, log_extra


def test_answer_is_end_to_end_and_chain_requires_the_exact_long_form():
    texts, ids = ["1001", "1111", "1", "0"], [[3, 2, 2, 3, END], [3, 3, 3, 3, END], [3, END], [2, END]]
    answer, chain, valid = make_reward_functions(["answer", "chain", "valid"], [END], 8)
    rewards, metrics, extra = call(answer, texts, ids)
    assert rewards == [1, 1, 1, 0]
    assert call(chain, texts, ids)[0] == [1, 0, 0, 0]
    assert call(valid, texts, ids)[0] == [1, 0, 1, 0]
    assert metrics["p_long"] == 0.5 and metrics["length/mean"] == 2.5 and metrics["truncated"] == 0
    assert extra["outcome"] == ["correct", "correct", "correct", "wrong"] and extra["gold"] == ["1"] * 4


def test_only_the_first_function_logs_and_a_truncated_completion_gets_no_reward():
    answer, chain = make_reward_functions(["answer", "chain"], [END], 8)
    texts = [[{"role": "assistant", "content": "1001"}]]
    rewards, metrics, _ = call(answer, texts, [[3, 2, 2, 3]])
    assert rewards == [0] and metrics["truncated"] == 1 and metrics["length/mean"] == 4
    assert call(chain, texts, [[3, 2, 2, 3]])[1] == {}


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_function_has_the_name_that_trl_logs(name):
    assert make_reward_functions([{"reward": name, **REQUIRED.get(name, {})}], [END], 8)[0].__name__ == name


def test_format_rewards_the_marker_and_cosine_prefers_short_correct_and_long_wrong():
    form, cosine = make_reward_functions(["format", "cosine"], [END], 4)
    texts, ids = ["1001", "1", "0", "?"], [[3, 2, 2, 3, END], [3, END], [2, END], [5, END]]
    assert call(form, texts, ids)[0] == [1, 1, 1, 0]
    rewards = call(cosine, texts, ids)[0]
    assert rewards[1] > rewards[0] > 0 > rewards[2] and rewards[0] == 0.5
    assert cosine_scaled(True, 0, 4) == 1 and cosine_scaled(False, 0, 4) == -1 and cosine_scaled(False, 9, 4) == -0.5


def test_penalties_are_counted_in_tokens():
    overlong, repetition = make_reward_functions(["overlong", "repetition"], [END], 10)
    ids = [[2, 3], [2] * 9 + [END], [2] * 11]
    assert call(overlong, ["1", "1", "1"], ids)[0] == [0, -1, -1]
    assert call(repetition, ["1", "1", "1"], ids)[0][0] == 0 > call(repetition, ["1", "1", "1"], ids)[0][2]
