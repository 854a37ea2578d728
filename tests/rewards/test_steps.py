"""Checking the calculations in a chain of thought."""

import pytest

from rewards.steps import true_steps


@pytest.mark.parametrize(
    ("text", "true", "total"),
    [
        ("48/2 = 24", 1, 1),
        ("<<48/2=24>>24", 1, 1),
        ("She sold 48/2 = <<48/2=24>>24 clips.", 1, 1),
        ("48/2 = 25", 0, 1),
        ("2 + 3 = 5 and 5 x 4 = 21", 1, 2),
        ("$2.50 x 4 = $10", 1, 1),
        ("1,000 + 1 = 1,001", 1, 1),
        ("(3 + 4) * 2 = 14", 1, 1),
        ("10 / 3 = 3.33", 1, 1),
        ("10 / 3 = 3.34", 0, 1),
        ("5 - 8 = -3", 1, 1),
        ("1 / 0 = 1", 0, 0),
        ("x = 5, half of 10 = 5", 0, 0),
        ("9 ** 9 ** 9 ** 9 = 1", 0, 0),
        ("2 + 2 = 4 + 1", 0, 0),
        ("2 + 2 = 4\n4 * 2 = 8", 2, 2),
        ("2 + 2 = 5\n5 * 2 = 10", 1, 2),
        ("2 + 2 =\n-4", 0, 1),
        ("10^4 + 10^3 - 1 = 11,000 - 1 = 10,999", 1, 1),
        ("3x-5 = 16 and 2x - 230 = 450", 0, 0),
        ("20%*100 = $20 and $100 x 20% = $20 and 10/40 = 25% and 10/40*100 = 25%", 4, 4),
        ("10/40 = 26%", 0, 1),
        ("2.5 * 3 = 7 and 2.5 * 3 = 8", 1, 2),
        ("1/3 = 33.3% and 2/3 = 66%", 1, 2),
        ("10 points + 14 + 6 = 30 and 60 students x 2/3 = 40", 0, 0),
        ("8 x 1 1/2 = 12 and 10^3 - 1 = 999 and 6:00 + 48 = 6:48", 0, 0),
        ("4(7) - 10 = 18, (2)(3) = 6, 10 apples (7 + 3 = 10)", 3, 3),
        ("- 2 + 3 = 5\n* 2 + 3 = 5\n1. 2 + 3 = 5", 3, 3),
        ("the box 2 + 3 = 5 is -3 + 8 = 5", 2, 2),
        (r"2 \times 3 + 1 = 7 and 7 − 2 = 5", 2, 2),
        ("-6 = -1 and y-3 + 5 = 7", 0, 0),
        ("2 (5 + 3) = 16 and (3+2) (4+1) = 25 and 1 000 + 500 = 1500", 0, 0),
        ("10 ^ 2 + 1 = 101, half of 20 + 5 = 15, 5 times 3 + 2 = 17, √9 + 1 = 4, 5 X 3 + 2 = 17", 0, 0),
        ("5·3 + 2 = 17", 1, 1),
        ("Step 1\n- 5 + 3 = 8\nShe sold 20\n* 5 + 3 = 8", 2, 2),
        ("48/2 = 24 (clips) and 48+24 = 72 - so 72", 2, 2),
        ("2 * 500,000 = 1 million, 12 + 12 = 2 dozen, 100 * 1000 = 100k, 11 / 4 = 2 remainder 3, 23 / 6 = 3 R 5", 0, 0),
        ("11 / 4 = 2 and 3/4, so 4 * 4 = 4^2, 3 * 3 = 3²", 0, 0),
        ("10 + 5 = 20 - 3 = 17", 1, 2),
        ("5 + 3 = 8 * 2 = 16, 4 + 4 = 2 * 4 = 8, 1/3 = 2/6 = 0.33, 2 + 3 = (1 + 4) = 5", 8, 8),
        ("1/3 = 2/5 = 0.4", 1, 2),
        ("no numbers", 0, 0),
    ],
)
def test_counts_correct_and_all_calculations(text, true, total):
    assert true_steps(text) == (true, total)


def test_nearly_all_calculations_in_gsm8k_solutions_are_correct(data):
    import json

    lines = (data / "gsm8k" / "train.jsonl").read_text().splitlines()
    counts = [true_steps(json.loads(line)["answer"]) for line in lines]
    assert sum(true < total for true, total in counts) < 40  # nearly all of them mistakes in the data
    assert sum(total == 0 for _, total in counts) < 130
