"""Scoring: outcome, form, chain, and the length accounting."""

import pytest

from rewards import scorer
from rewards.accounting import account
from rewards.scorer import Item

GSM = {"style": "gsm8k"}
PARITY = {"style": "parity", "long": "1001"}


def score(text, answer, meta, truncated=False):
    return scorer.score([Item(text, answer, meta, truncated)])[0]


@pytest.mark.parametrize(
    ("text", "answer", "meta", "outcome", "form", "chain"),
    [
        ("#### 8", "8", GSM, "correct", "short", False),
        ("4 + 4 = 8\n#### 8", "8", GSM, "correct", "long", True),
        ("4 + 4 = 9\n#### 8", "8", GSM, "correct", "long", False),
        ("4 + 4 = 8\n#### 9", "8", GSM, "wrong", "long", False),
        ("4 + 4", "8", GSM, "unparseable", "long", False),
        ("", "8", GSM, "unparseable", "short", False),
        ("The final answer is $\\boxed{8}$.", "8", {"style": "boxed"}, "correct", "short", None),
        ("Two fours.\nThe final answer is $\\boxed{8}$.", "8", {"style": "boxed"}, "correct", "long", None),
        ("1001", "1", PARITY, "correct", "long", True),
        ("1111", "1", PARITY, "correct", "long", False),
        ("1", "1", PARITY, "correct", "short", False),
        ("0", "1", PARITY, "wrong", "short", False),
        ("10", "1", PARITY, "wrong", "other", False),
        ("1=1", "1", PARITY, "unparseable", "other", False),
    ],
)
def test_outcome_form_and_chain(text, answer, meta, outcome, form, chain):
    verdict = score(text, answer, meta, truncated=False)
    assert (verdict.outcome, verdict.form, verdict.chain) == (outcome, form, chain)


def test_an_answer_at_the_cut_of_a_truncated_text_does_not_count():
    assert score("... #### 4", "4", GSM, truncated=True).outcome == "unparseable"
    assert score("The answer is 4.", "4", GSM, truncated=True).outcome == "unparseable"  # perhaps 4.5
    assert score("#### 4\r\n", "4", GSM, truncated=True).outcome == "unparseable"
    assert score("#### 4\nand then", "4", GSM, truncated=True).outcome == "correct"
    assert score("1001", "1", PARITY, truncated=True).outcome == "unparseable"


def test_accounting_by_form_and_outcome():
    texts = ["1001", "1", "0", "10"]
    verdicts = [score(text, "1", PARITY, truncated=False) for text in texts]
    figures = account(verdicts, [4, 1, 1, 2], [False, False, False, True])
    assert figures["accuracy"] == 0.5 and figures["p_long"] == 0.25 and figures["truncated"] == 0.25
    assert figures["accuracy_long"] == 1.0 and figures["accuracy_short"] == 0.5
    assert figures["length/mean"] == 2 and figures["length/correct"] == 2.5 and figures["length/long"] == 4
    assert figures["outcome/wrong"] == 0.5


def test_strict_scoring_counts_only_the_style_s_own_marker():
    verdicts = [score(text, "8", GSM) for text in ("#### 8", "the answer is 8", "#### 9")]
    assert [v.outcome for v in verdicts] == ["correct", "correct", "wrong"]
    assert [v.strict_outcome for v in verdicts] == ["correct", "unparseable", "wrong"]


def test_the_pool_keeps_the_order_of_a_batch():
    answers = ["8", r"\int_0^2 x\,dx", "9", r"\int_0^2 y\,dy"]
    items = [Item(f"#### {answer}", r"\int_0^2 2x/2\,dx" if "int" in answer else "8", GSM) for answer in answers]
    assert [verdict.outcome for verdict in scorer.score(items)] == ["correct", "correct", "wrong", "correct"]


def test_own_forms_are_recognised_by_the_rule_in_meta_and_counted_by_name():
    rule = {"markers": {"long": "<think>", "plan": "<think><plan>"}, "by_length": ["answer", "short"], "up_to": [8]}
    meta = {"style": "gsm8k", "forms": rule}
    texts = ["<think>so</think>\n#### 8", "<think><plan>#### 8", "#### 8", "4 + 4 = 8\n#### 8", ""]
    verdicts = scorer.score([Item(text, "8", meta) for text in texts])
    assert [verdict.form for verdict in verdicts] == ["long", "plan", "answer", "short", "answer"]
    assert [verdict.outcome for verdict in verdicts] == ["correct", "unparseable", "correct", "correct", "unparseable"]
    metrics = account(verdicts, [20, 19, 6, 16, 0], [False] * 5)
    assert metrics["p_long"] == 0.2 and metrics["accuracy_answer"] == 0.5 and metrics["length/short"] == 16
    only_marked = {"style": "gsm8k", "forms": {"markers": {"long": "<think>"}, "by_length": [], "up_to": []}}
    assert scorer.find_form("#### 8", only_marked) == "other"
