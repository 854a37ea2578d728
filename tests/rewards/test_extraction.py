r"""Extraction of the final answer, strict (the style's own marker) and lenient."""

import pytest

from rewards.extraction import extract


@pytest.mark.parametrize(
    ("text", "style", "answer", "own_marker"),
    [
        ("4 + 4 = 8\n#### 8", "gsm8k", "8", True),
        ("#### 1,000", "gsm8k", "1,000", True),
        ("#### 4\n#### 5", "gsm8k", "5", True),
        ("#### $42 and nothing more", "gsm8k", "$42 and nothing more", True),
        ("#### The answer is 42.", "gsm8k", "42", True),
        ("####", "gsm8k", None, True),
        ("the answer is 4\n####", "gsm8k", None, True),
        ("#### Final Answer\n\\boxed{5}", "gsm8k", "5", False),
        ("#### 5\n\n#### Explanation\n2 + 3 = 5", "gsm8k", "5", True),
        ("#### Step 1: add\n2 + 3\n#### Conclusion\nThe answer is 5.", "gsm8k", "5", False),
        ("#### 4\n#### Final answer:", "gsm8k", None, False),
        ("#### <<9*2=18>>18", "gsm8k", "18", True),
        ("**Final Answer:**\n\n18", "gsm8k", "18", False),
        ("The final answer is:\n$$18$$", "gsm8k", "18", False),
        ("The answer is therefore 18, which is even.", "gsm8k", "18", False),
        ("So the answer is 42.", "gsm8k", "42", False),
        ("The answer is: 3.5. I hope it is correct.", "gsm8k", "3.5", False),
        ("The final answer is $\\frac{1}{2}$. I hope it is correct.", "boxed", "\\frac{1}{2}", False),
        ("**Answer:** 42", "gsm8k", "42", False),
        ("**The answer is 42.**", "gsm8k", "42", False),
        ("Answer: 5 apples because he ate two", "gsm8k", "5 apples", False),
        ("The answer is 1. No, the answer is 2.", "gsm8k", "2", False),
        ("so it is $\\boxed{7}$", "gsm8k", "7", False),
        ("there are 8 apples", "gsm8k", None, False),
        ("", "gsm8k", None, False),
        (r"is $\boxed{\frac{1}{2}}$.", "boxed", r"\frac{1}{2}", True),
        (r"\boxed{1} and \fbox{2}", "boxed", "1, 2", True),
        (r"so $\boxed{1}$, $\boxed{2}$, and $\boxed{3}$.", "boxed", "1, 2, 3", True),
        (r"$\boxed{1}$ or possibly $\boxed{2}$", "boxed", "1, 2", True),
        (r"$\boxed{1} \text{ and } \boxed{2}$", "boxed", "1, 2", True),
        (r"$a = \boxed{1}$ and $b = \boxed{2}$", "boxed", "1, 2", True),
        (r"\boxed{4}, not \boxed{5}", "boxed", "4, 5", True),
        (r"so \boxed{1} is the first. Then \boxed{2}", "boxed", "2", True),
        (r"from \boxed{1} it follows that \boxed{2}", "boxed", "2", True),
        ("\\boxed{1}\n\nand \\boxed{2}", "boxed", "2", True),
        (r"\boxed{41} or \boxed{}", "boxed", None, True),
        (r"\boxed{} or \boxed{41}", "boxed", "41", True),
        (r"the answers are \boxed{3} and \boxed{4}", "gsm8k", "3, 4", False),
        (r"\boxed{\boxed{3}}", "boxed", "3", True),
        (r"$\boxed 2$", "boxed", "2", True),
        (r"\boxed{\{1, 2\}}", "boxed", r"\{1, 2\}", True),
        (r"\boxed{open", "boxed", None, True),
        (r"\boxed{5}, so \boxed{}", "boxed", None, True),
        (r"\boxed{ }", "boxed", None, True),
        (r"\boxedx{5}", "boxed", None, False),
        ("#### 9", "boxed", "9", False),
        ("#### 9<|im_end|>\n#### 10", "gsm8k", "9", True),
        ("#### 9<|endoftext|>#### 10", "gsm8k", "9", True),
        (r"no<|eot_id|>\boxed{4}", "boxed", None, False),
        (r"\boxed{4}", "auto", "4", True),
        ("#### 4", "auto", "4", True),
        ("0110", "parity", "0", True),
        ("1", "parity", "1", True),
        ("01=1", "parity", None, True),
        ("", "parity", None, True),
        ("840;0630=8040", "multiplication", "408", True),
        ("8040", "multiplication", "408", True),
        ("000", "multiplication", "0", True),
        ("840;0630=", "multiplication", None, True),
    ],
)
def test_the_final_answer(text, style, answer, own_marker):
    assert extract(text, style) == (answer, own_marker)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>#### 1</think>\n#### 2", "2"),
        ("#### 1</think>\n#### 2", "2"),  # the template's prompt ends in <think>
        ("<think>#### 1</think>", None),
        ("#### 1\n<think>was that right?</think>", None),
        ("<think>#### 1", None),
        ("<think>a</think>#### 1<think>#### 2</think>The answer is 3.", "3"),
        ("<think>a</think>#### 1<think>again", None),
        ("<think>" + "x" * 30_000 + "\n#### 1", None),  # begins before the part that is searched
    ],
)
def test_only_what_follows_the_reasoning_block_counts(text, answer):
    assert extract(text, "gsm8k")[0] == answer
    assert extract(text.replace("#### ", "\\boxed "), "auto")[0] == answer
