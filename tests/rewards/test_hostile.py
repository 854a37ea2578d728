"""Adversarial completions: none hangs, crashes or is executed, and no hedge or trick is accepted as the answer."""

import random
import resource
import time

import pytest

from rewards.scorer import OUTCOMES, Item, score

BOXED, GSM = {"style": "boxed"}, {"style": "gsm8k"}
MARK = "/tmp/cotmix-was-here"
CODE = [
    "__import__('os').system('touch MARK')",
    "exec(\"open('MARK', 'w')\")",
    "eval(\"__import__('pathlib').Path('MARK').touch()\")",
    "().__class__.__base__.__subclasses__()",
    "[x for x in open('MARK', 'w')]",
    "lambda: open('MARK', 'w')",
    "import os; os.system('touch MARK')",
    "globals()['__builtins__']['open']('MARK', 'w')",
    "\\text{__import__('os').system('touch MARK')}",
    'f\'{open("MARK", "w")}\'',
    "sympify(\"open('MARK','w')\")",
    "1 if open('MARK', 'w') else 2",
]
OVERSIZED = [
    "9**9**9**9",
    "9^{9^{9^{9}}}",
    "{9^9}^{9^9}",
    "10^{10^{10}}",
    "(10^8)!",
    "((5!)!)!",
    "100!!!!",
    "9" * 1_000_000,
    "1e999999999",
    "0.%s1" % ("0" * 100_000),
    "(" * 5000 + "1" + ")" * 5000,
    "{" * 5000 + "1" + "}" * 5000,
    "\\frac{1}{" * 2000 + "1" + "}" * 2000,
    "\\sqrt{" * 3000 + "2" + "}" * 3000,
    "\\boxed{" * 5000,
    "\\boxed{1}" * 5000,
    "-" * 10_000 + "1",
    "1+" * 50_000 + "1",
    "x^" * 1000 + "2",
    "|" * 1001,
    "!" * 1000,
    "\\left(" * 1000,
    "\\begin{pmatrix}" * 500,
    "\\begin{pmatrix}" + "1&" * 20_000 + "1\\end{pmatrix}",
    "\\{" + ",".join(map(str, range(20_000))) + "\\}",
    ",".join("1" for _ in range(50_000)),
    "\\pm" * 500 + "1",
    "\\cup" * 3000,
    "\x00\x01\x02\x1b[31m",
    "\ud800",
    "٤٢",
    "４２" * 1000,
    "🍎" * 5000,
    "a" * 200_000,
    " " * 200_000,
    "$" * 100_000,
    "=" * 1000,
    "x=" * 500 + "1",
    "\\binom{10^9}{10^8}",
    "\\log_{1}{1}",
    "\\sin(10^{400})",
    "0^{-1}",
    "0^0",
    "\\frac{0}{0}",
    "\\int_0^1 x^{x^{x}} dx",
    "\\sum_{i=1}^{10^9} i",
    "\\prod_{n=1}^{\\infty} n",
    "\\lim_{x\\to 0} \\frac{\\sin x}{x}",
    "1 1 1 1 " * 40,
    "_" * 300,
]
TRICKS = [  # none of these is the answer 42
    "\\boxed{41} or \\boxed{}",
    "\\boxed{42} wait, \\boxed{}",
    "42 \\boxed{}",
    "\\boxed{42 or 43}",
    "\\boxed{41, 42}",
    "\\boxed{42, 43}",
    "\\boxed{\\{41, 42\\}}",
    "\\boxed{41 = 42}",
    "\\boxed{42 = 41}",
    "\\boxed{x = 41 = 42}",
    "\\boxed{42 \\text{ or } 43}",
    "\\boxed{\\pm 42}",
    "\\boxed{-42}",
    "\\boxed{42_8}",
    "\\boxed{42/100}",
    "\\boxed{4200}",
    "\\boxed{0.42}",
    "\\boxed{(42, 42)}",
    "\\boxed{42, 42}",
    "\\boxed{42 42}",
    "\\boxed{4 2}",
    "\\boxed{x}",
    "\\boxed{\\text{the answer}}",
    "\\boxed{\\text{not } 42}",
    "\\boxed{42 \\text{ is not the answer}}",
    "\\boxed{\\text{any number, e.g. } 42}",
    "\\boxed{x \\in \\mathbb{R}}",
    "\\boxed{(-\\infty, \\infty)}",
    "\\boxed{[0, 100]}",
    "\\boxed{x > 41}",
    "\\boxed{x \\ge 42}",
    "\\boxed{41 < x < 43}",
    "\\boxed{x \\approx 42}",
    "\\boxed{42.0000001}",
    "\\boxed{41.9999999}",
    "\\boxed{42 + \\epsilon}",
    "\\boxed{42x}",
    "\\boxed{42^x}",
    "\\boxed{42!}",
    "\\boxed{\\frac{42}{0}}",
    "\\boxed{\\infty}",
    "\\boxed{42",
    "\\boxed{}42",
    "\\boxed{gold}",
    "\\boxed{answer}",
    "\\boxed{None}",
    "\\boxed{True}",
    "\\boxed{42 if True else 0}",
    "\\boxed{int('42')}",
    "\\boxed{n} where n = 42",
    "I think it is 42.",
    "42",
    "The answer is not 42.",
    "The answer is 41 or 42.",
    "The answer is somewhere between 41 and 43.",
    "The answer is 42 or something else.",
    "<|im_end|>\\boxed{42}",
    "#### 41\n42",
    "#### 4 2",
    "####",
    "#### 41 #### 43",
    "#### 0..100",
    "#### 42 million",
]


@pytest.mark.parametrize("text", TRICKS)
@pytest.mark.parametrize("meta", [BOXED, GSM])
def test_no_trick_is_accepted_as_the_answer(text, meta):
    assert score([Item(text, "42", meta)])[0].outcome != "correct"


def fuzzed(n: int) -> list[str]:
    """Oversized input and code, cut, joined, with noise, inside and outside of boxes; deterministic."""
    rng = random.Random(0)
    pieces = [
        *CODE,
        *OVERSIZED,
        "\\frac",
        "{",
        "}",
        "\\boxed{",
        "####",
        "$",
        "42",
        "x",
        "^",
        "_",
        "\\",
        ",",
        "\n",
        "the answer is ",
    ]
    texts = []
    for _ in range(n):
        body = "".join(rng.choice(pieces)[: rng.choice([5, 50, 390, 10**6])] for _ in range(rng.randint(1, 4)))
        form = rng.choice(["%s", "\\boxed{%s}", "#### %s", "The answer is %s.", "$%s$", "%s\\boxed{"])
        texts.append((form % body.replace("%", "%%") if "%" in body else form % body).replace("MARK", MARK))
    return texts


def test_5000_adversarial_completions_do_not_hang_crash_or_execute(tmp_path):
    import os

    if os.path.exists(MARK):
        os.remove(MARK)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    golds = ["42", r"\frac{1}{2}", "x^2+1", "(1,2)", r"\text{even}"]
    for i, text in enumerate(fuzzed(5000)):
        start, start_cpu = time.perf_counter(), time.process_time()
        [verdict] = score([Item(text, golds[i % len(golds)], (BOXED, GSM)[i % 2])])
        assert verdict.outcome in OUTCOMES and verdict.outcome != "error", text[:300]
        # CPU time of this process: milliseconds, even for a megabyte. Wall time: bounded by the worker's deadline.
        assert time.process_time() - start_cpu < 0.1 and time.perf_counter() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 2**10
    assert not os.path.exists(MARK)
