"""A reward of your own: the share of running sums that are right."""

import re


def right_sums(completions, prompts, least=0.0, **kwargs):
    """1 if all running sums between <think> and </think> are right; 0 if the share of right ones is below `least`."""
    rewards = []
    for prompt, completion in zip(prompts, completions, strict=True):
        digits = [int(digit) for digit in prompt.rstrip("=")]
        sums = "".join(str(sum(digits[: i + 1]) % 3) for i in range(len(digits)))
        found = re.search(r"<think>(\d*)</think>", completion)
        right = sum(a == b for a, b in zip(found[1], sums, strict=False)) / len(sums) if found else 0.0
        rewards.append(right if right >= least else 0.0)
    return rewards
