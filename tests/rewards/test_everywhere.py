"""The same verdicts from a thread, from two ranks of accelerate, and on a machine that is busy; and no code is evaluated."""

import json
import subprocess
import sys
import threading

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


def test_the_table_s_verdicts_hold_for_whole_completions():
    right = [verdict == "correct" for verdict in outcomes()]
    wrong = [item for item, seen in zip(ITEMS, right, strict=True) if seen != (ITEMS.index(item) < len(pairs(SAME)))]
    assert not wrong


def test_a_thread_says_what_the_main_thread_says():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(outcomes()))
    thread.start()
    thread.join()
    assert seen == [outcomes()]


def test_two_ranks_say_it_too_while_the_machine_is_busy(tmp_path, command):
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


def test_math_verify_never_gets_to_evaluate_an_answer():
    """sympy's evaluator is watched while every piece of code goes through what a worker calls."""
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
