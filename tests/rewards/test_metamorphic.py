"""Rewrites that keep the meaning of a gold answer are accepted; rewrites that change it are not."""

import pytest

from tests.rewards.changes import CHANGING, changing
from tests.rewards.golds import gold_answers
from tests.rewards.metamorphic import judge
from tests.rewards.rewrites import PRESERVING, preserving


@pytest.fixture(params=[100, pytest.param(1, marks=pytest.mark.slow)], ids=["sample", "all"])
def golds(request, data):
    return gold_answers(data)[:: request.param]


def test_every_gold_answer_has_30_rewrites_of_either_kind(golds):
    assert len(PRESERVING) >= 30 and len(CHANGING) >= 30
    assert min(len(list(preserving(gold))) for gold in golds) >= 30
    assert min(len(list(changing(gold))) for gold in golds) >= 30


def test_at_least_995_of_1000_rewrites_that_keep_the_meaning_are_accepted(golds):
    judged = judge(golds, preserving)
    rejected = [each for each in judged if not each[-1]]
    assert len(rejected) <= 0.005 * len(judged), rejected[:10]


def test_no_rewrite_that_changes_the_meaning_is_accepted(golds):
    assert [each for each in judge(golds, changing) if each[-1]] == []
