"""Verdicts do not depend on threads, on accelerate ranks or on machine load, and no text is evaluated as code."""

import json
import subprocess
import sys
import threading

import pytest

from rewards.scorer import Item, score
from tests.rewards.cases import DIFFERENT, SAME, pairs

ITEMS = [Item(f"\\boxed{{{a}}}", b, {"style": "boxed"}) for a, b in [*pairs(SAME), *pairs(DIFFERENT)]]
JUDGE = """
import json, os
from accelerate import PartialState
from tests.rewards.test_everywhere import outcomes
rank = PartialState(cpu=True).process_index
open(os.environ["OUT"] + str(rank), "w").write(json.dumps(outcomes()))
"""


def outcomes() -> list[str]:
    return [verdict.outcome for verdict in score(ITEMS)]


def test_the_cases_hold_as_boxed_completions():
    verdicts = enumerate(zip(ITEMS, outcomes(), strict=True))
    failed = [item for i, (item, outcome) in verdicts if (outcome == "correct") != (i < len(pairs(SAME)))]
    assert not failed


def test_a_thread_gives_the_same_outcomes_as_the_main_thread():
    from_thread = []
    thread = threading.Thread(target=lambda: from_thread.append(outcomes()))
    thread.start()
    thread.join()
    assert from_thread == [outcomes()]


@pytest.mark.slow
def test_two_ranks_on_a_busy_machine_give_the_same_outcomes(tmp_path, command):
    script = tmp_path / "judge.py"
    script.write_text(JUDGE)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        launch = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", 2, "--mixed_precision", "no", script)
        command(*launch, OUT=str(tmp_path / "rank"), PYTHONPATH=".")
    finally:
        for process in busy:
            process.kill()
    ranks = sorted(tmp_path.glob("rank*"))
    assert [json.loads(path.read_text()) for path in ranks] == [outcomes()] * len(ranks) and len(ranks) == 2


def test_math_verify_never_evaluates_an_answer():
    """Records the calls of sympy's evaluator while the comparison that workers run receives each piece of code."""
    code = (
        "from sympy.parsing import sympy_parser\n"
        "seen = []\n"
        "sympy_parser.eval_expr = lambda code, *_: seen.append(code)\n"
        "from rewards.equality import ask_math_verify\n"
        "from tests.rewards.test_hostile import CODE, MARK\n"
        "for text in CODE:\n"
        "    for pair in ((text, '1'), ('1', text)):\n"
        "        try: ask_math_verify(*(side.replace('MARK', MARK) for side in pair))\n"
        "        except Exception: pass\n"
        "import os, re\n"
        "plain = r'[-+*/(). 0-9]*|(Integer|Float|Rational).*'\n"
        "print([code for code in seen if not re.fullmatch(plain, code)], os.path.exists(MARK))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[] False"
