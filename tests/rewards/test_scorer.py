import pytest

from rewards.accounting import account
from rewards.scorer import score

GSM = {"style": "gsm8k"}
PARITY = {"style": "parity", "long": "1001"}


@pytest.mark.parametrize(
    ("text", "answer", "meta", "outcome", "form", "chain"),
    [
        ("#### 8", "8", GSM, "correct", "short", None),
        ("4 + 4 = 8\n#### 8", "8", GSM, "correct", "long", None),
        ("4 + 4 = 9\n#### 9", "8", GSM, "wrong", "long", None),
        ("4 + 4", "8", GSM, "unparseable", "long", None),
        ("", "8", GSM, "unparseable", "short", None),
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


def test_an_answer_that_the_token_limit_may_have_cut_does_not_count():
    assert score("... #### 4", "4", GSM, truncated=True).outcome == "unparseable"
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
