"""Scoring takes linear time: pumped, random and mutated text through every style, reward and command.

Times are CPU times of this process, so the load of the machine does not matter. Pool workers have a deadline.
"""

import argparse
import gc
import itertools
import json
import math
import random
import resource
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rewards import __main__ as commands
from rewards.built_in import BUILT_IN
from rewards.functions import make_reward_functions
from rewards.scorer import OUTCOMES, Item, score
from rewards.steps import true_steps
from tests.rewards.cases import DIFFERENT, SAME, pairs
from tests.rewards.test_functions import REQUIRED

LIMIT = 0.05  # seconds per completion
METAS = [
    {"style": "gsm8k"},
    {"style": "boxed"},
    {"style": "auto"},
    {"style": "parity", "long": "10"},
    {"style": "multiplication", "long": "21;3=4"},
]
GOLDS = ["42", "x^2+1", r"\text{even}", "(1,2)", r"\frac{1}{2}"]
# The characters that the patterns and the grammar of rewards/ distinguish, and one of every other kind
ALPHABET = "0 159\n\t.,:;!?#$%^&*_-+=/|\\(){}[]<>×÷²x aeiozAZ'~éﬃ"
STARTS = ["", "#### ", r"\boxed{", r"\boxed{\text{", r"\frac{", "the answer is ", "the answer is 4", "1+1=", "2 + 3", "1;", "$"]
STARTS += ["#### 5 miles ", "#### " + "(1," * 20 + "5abc "]
ENDS = ["", "\n#### 42", "}", " x", "#", "!", r"\boxed{42}", "=", "= 3", ".", " because"]
TOKENS = r"""\frac \sqrt \sqrt[7]{ \binom \sin \log_2 \exp \pi \pm \mp \cup \infty \le = < > \text{ \boxed{ \\ & { } ( ) [ ] |
    + - * / ^ _ ! , ; and or x y e i
    2 3 10 0.5 1000000 \{ \} \lbrace ^{100} ^{15000} ^{-1} % $ \left \cdot \in abc cm 1/ #### - \n"""


def pumped():
    """Every pair of characters, repeated to 20,000 characters and to the longest answer, with a prefix and a suffix."""
    rng = random.Random(0)
    for pair, n in itertools.product(itertools.product(dict.fromkeys(ALPHABET), repeat=2), (20_000, 390)):
        yield rng.choice(STARTS) + "".join(pair) * (n // 2) + rng.choice(ENDS)


def random_tokens(n=5000):
    """Random sequences of the grammar's tokens, with repetitions."""
    rng = random.Random(1)
    tokens = TOKENS.split()
    for _ in range(n):
        few = [rng.choice(tokens) for _ in range(rng.choice([1, 2, 5, 40]))]
        body = "".join(rng.choice(few) for _ in range(rng.choice([5, 50, 150])))
        yield rng.choice([r"\boxed{%s}", "#### %s", "the answer is %s.", "%s"]).replace("%s", body)


def mutated(data, n=3000):
    """Real solutions with characters repeated, dropped, replaced, or replaced by another solution."""
    rng = random.Random(2)
    texts = [json.loads(line)["answer"] for line in (data / "gsm8k" / "test.jsonl").read_text().splitlines()]
    texts += [json.loads(line)["solution"] for line in (data / "math500" / "test.jsonl").read_text().splitlines()]
    for _ in range(n):
        text = list(rng.choice(texts))
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(text))
            text[at] = rng.choice([text[at] * 2, "", rng.choice(ALPHABET), text[at] * rng.choice([3, 3000]), rng.choice(texts)])
        yield "".join(text)


def check(texts):
    """Scores each text; asserts that it takes less than LIMIT, gives no error and does not leak memory."""
    gc.freeze()  # else a collection also visits all objects of the other tests, which can take longer than the limit
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for i, text in enumerate(texts):
        item = Item(text, GOLDS[i % len(GOLDS)], METAS[i % len(METAS)], truncated=i % 7 == 0)
        start = time.process_time()
        [verdict] = score([item])
        true_steps(text)
        seconds = time.process_time() - start
        assert verdict.outcome in OUTCOMES and verdict.outcome != "error", text[:200]
        assert seconds < LIMIT, (seconds, text[:100], text[-50:], item.meta)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 2**10


def test_pumped_text_takes_linear_time():
    check(pumped())


def test_random_tokens_take_linear_time():
    check(random_tokens())


def test_mutated_solutions_take_linear_time(data):
    check(mutated(data))


@pytest.mark.parametrize(
    ("text", "answer", "outcome", "chain"),
    [
        ("2 + 3 = -\n5\n#### 5", "5", "correct", False),
        ("2 + 3 = 5" + "-" * 1000 + "\n#### 5", "5", "correct", False),
        ("1 + " + "-" * 1000 + "5 = 6\n#### 6", "6", "correct", False),
        ("1 + " + "1" * 4301 + " = 2\n#### 5", "5", "correct", False),
        ("1+1=" + " " * 4000 + "#### 42", "42", "correct", False),
        ("1+1=" + "\n" * 4000 + "2\n#### 42", "42", "correct", True),
        ("1+1=2\n" * 201 + "#### 2", "2", "correct", False),  # more calculations than are checked
        ("The answer is 42" + " " * 19_000 + "x", "42", "wrong", False),
        ("#### " + "-" * 391 + "42", "42", "wrong", False),
        ("#### " + "-" * 200 + "42", "42", "correct", False),
        ("#### " + "x^{15000}" * 44, "x", "timeout", False),
        ("#### " + "1/x^{700}+" * 20 + "1", "x", "timeout", False),
        ("#### " + "\ufdfa" * 399, "x", "wrong", False),  # NFKC expands this character to 18
        ("#### 5 miles " + "o" * 370 + "?", "5", "wrong", False),
        ("#### (" + "a, " * 120 + " = 5", "5", "wrong", False),
        ("#### (" + "1, " * 120 + "1)^T = v", "5", "wrong", False),
        ("#### " + "(1," * 20 + "5abc " + "ﬃ" * 200 + "!" + ")" * 20, "5", "wrong", False),
        ("#### (\\frac{3+4i}{5})^{\\exp(1000000)}", "5", "timeout", False),
        ("#### (-1)^{1/3}^{\\exp(100000)}", "5", "timeout", False),
        ("#### 3000!=1", "5", "timeout", False),
    ],
)
def test_text_that_used_to_crash_or_hang(text, answer, outcome, chain):
    start = time.process_time()
    [verdict] = score([Item(text, answer, METAS[0])])
    assert (verdict.outcome, verdict.chain) == (outcome, chain) and time.process_time() - start < LIMIT


def test_an_exception_is_logged_and_gives_only_that_completion_the_outcome_error(caplog):
    fine = Item("#### 42", "42", METAS[0])
    verdicts = score([fine, Item("#### 42", "42", {}), fine])  # meta without a style
    assert [verdict.outcome for verdict in verdicts] == ["correct", "error", "correct"]
    assert "cannot score a completion (KeyError: 'style'): '#### 42'" in caplog.text


def test_every_reward_is_finite_for_every_text():
    texts = [*itertools.islice(pumped(), 0, None, 50), *random_tokens(100)]
    golds = [GOLDS[i % len(GOLDS)] for i in range(len(texts))]
    metas = [json.dumps(METAS[i % len(METAS)]) for i in range(len(texts))]
    ids = [[1] * (len(text) % 300) for text in texts]
    quiet = {"log_metric": lambda *_: None, "log_extra": lambda *_: None}
    entries = [{"reward": name, **REQUIRED.get(name, {})} for name in BUILT_IN]
    problems = [str(i // 4) for i in range(len(texts))]
    for name, reward in zip(BUILT_IN, make_reward_functions(entries, {0}, 256), strict=True):
        values = reward(completions=texts, completion_ids=ids, answer=golds, meta=metas, problem_id=problems, **quiet)
        assert len(values) == len(texts) and all(map(math.isfinite, values)), name


def test_explain_and_audit_accept_any_text(tmp_path, capsys):
    texts = [*itertools.islice(pumped(), 0, None, 100), *random_tokens(50), *(a for a, _ in pairs(SAME + DIFFERENT)[::20])]
    for i, text in enumerate(texts):
        commands.explain_one(argparse.Namespace(completion=text, gold=GOLDS[i % len(GOLDS)], style="auto", deadline=1.0))
    assert capsys.readouterr().out.count("\noutcome ") == len(texts)
    rows = [
        {"problem_id": str(i), "completion": text, "answer": "42", "meta": json.dumps(METAS[i % 2]), "truncated": False}
        for i, text in enumerate(texts)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "completions.parquet")
    commands.audit_file(argparse.Namespace(input=tmp_path / "completions.parquet", deadline=1.0))
    assert f"of {len(texts)} completions are judged differently" in capsys.readouterr().out
