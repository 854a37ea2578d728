import pytest

from rewards.extraction import extract


@pytest.mark.parametrize(
    ("text", "style", "answer"),
    [
        ("4 + 4 = 8\n#### 8", "gsm8k", "8"),
        ("#### 1,000", "gsm8k", "1,000"),
        ("#### 4\n#### 5", "gsm8k", "5"),
        ("####", "gsm8k", None),
        ("So the answer is 42.", "gsm8k", "42"),
        ("The answer is: 3.5. I hope it is correct.", "gsm8k", "3.5"),
        ("so it is $\\boxed{7}$", "gsm8k", "7"),
        ("there are 8 apples", "gsm8k", None),
        (r"is $\boxed{\frac{1}{2}}$.", "boxed", r"\frac{1}{2}"),
        (r"\boxed{1} and \fbox{2}", "boxed", "2"),
        (r"\boxed{open", "boxed", None),
        (r"\boxed{ }", "boxed", None),
        ("#### 9", "boxed", "9"),
        ("0110", "parity", "0"),
        ("1", "parity", "1"),
        ("01=1", "parity", None),
        ("", "parity", None),
    ],
)
def test_the_final_answer(text, style, answer):
    assert extract(text, style) == answer
