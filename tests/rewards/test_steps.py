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
        ("3x-5 = 16", 0, 0),
        ("no numbers", 0, 0),
    ],
)
def test_counts_correct_and_all_calculations(text, true, total):
    assert true_steps(text) == (true, total)


def test_nearly_all_calculations_in_gsm8k_solutions_are_correct(data):
    import json

    lines = (data / "gsm8k" / "train.jsonl").read_text().splitlines()
    counts = [true_steps(json.loads(line)["answer"]) for line in lines]
    assert sum(true for true, _ in counts) / sum(total for _, total in counts) > 0.99
    assert sum(0 < total == true for true, total in counts) / len(counts) > 0.9
