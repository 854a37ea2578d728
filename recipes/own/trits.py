"""A task of your own: sums of digits 0, 1 and 2, modulo 3. The steps are the running sums."""

import random


def problems(seed, count, length=8):
    """Yields problems of `length` digits."""
    rng = random.Random(seed)
    while True:
        digits = [rng.randrange(3) for _ in range(length)]
        sums = [sum(digits[: i + 1]) % 3 for i in range(length)]
        prompt = "".join(map(str, digits)) + "="
        yield {"prompt": prompt, "steps": ["".join(map(str, sums))], "answer": sums[-1], "meta": {"length": length}}
