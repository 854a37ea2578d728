"""The examples of data_mix/README.md run as they are written."""

import json
import re
import shlex

import pytest
import yaml

from data_mix.__main__ import main
from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build, read_rows
from data_mix.tasks import find_task, gsm_symbolic, multiplication, parity
from tests.conftest import ROOT
from tests.data_mix.helpers import rows_of, write_jsonl

README = (ROOT / "data_mix/README.md").read_text()


def run_section(title: str) -> None:
    """Writes the section's files into the current folder and runs its commands."""
    section = re.search(rf"## {title}\n(.*?)(?=\n## |\Z)", README, re.DOTALL)[1]
    for name, text in re.findall(r"`([\w.]+)`:\n\n```\w+\n(.*?)```", section, re.DOTALL):
        with open(name, "w") as file:
            file.write(text)
    commands = re.findall(r"^    python -m data_mix (.*)$", section, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        assert main(shlex.split(command)) == 0


def test_your_own_task(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_section("Your own task")
    rows = read_rows("runs/ages", "train")
    assert len(rows) == 400 and sum(row["form"] == "long" for row in rows) == 100
    assert "identical to a rebuild" in capsys.readouterr().out


def test_your_own_forms(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_section("Your own forms")
    rows = read_rows("runs/solved", "train")
    assert sorted(row["form"] for row in rows) == ["long", "short", "short"]
    text = capsys.readouterr().out
    assert (
        "long contains '<think>'; otherwise short; wrong for held-out gold completions: long 0.0%, short 0.0% (n = 1)" in text
    )


def test_the_line_for_reasoning_blocks_in_boxes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_section("Your own forms")
    raw = yaml.safe_load((tmp_path / "solved.yaml").read_text())
    raw["forms"] |= yaml.safe_load(re.search(r"^`(long: .*)`", README, re.MULTILINE)[1])
    build(parse_config(raw | {"answer_style": "boxed"}), "boxed")
    [row] = read_rows("boxed", "test")
    text = row["completion"][0]["content"]
    assert text.startswith("<think>\n") and text.endswith(f"\n</think>\nThe answer is $\\boxed{{{row['answer']}}}$.")


EXAMPLES = dict(
    re.findall(r"^    (\w+(?: \w+)?)  +(\S.*(?:\n {20}-> .*)?)$", README.split("A record of each source type")[1], re.M)
)


@pytest.mark.parametrize(
    ("task", "options", "answer"),
    [
        ("gsm8k", {}, "7"),
        ("math", {}, "2"),
        ("svamp", {}, "7"),
        ("records", {"name": "mine", "question": "q", "solution": "worked", "answer": "result"}, "5"),
    ],
)
def test_a_record_of_each_source_type_can_be_read(tmp_path, task, options, answer):
    path = write_jsonl(tmp_path / "records.jsonl", [json.loads(EXAMPLES[task])])
    [problem] = find_task(task).read("refuse", path=path, **options).train
    assert problem.answer == answer and problem.steps


def test_the_problems_of_the_generated_tasks():
    for problem, task in ((parity.make_problem("0110"), "parity"), (multiplication.make_problem(12, 34), "multiplication")):
        assert EXAMPLES[task] == f"{problem.prompt} -> {problem.meta['long']}"
    prompt, long = EXAMPLES["gsm_symbolic"].split("\n" + 20 * " " + "-> ")
    drawn = {problem.prompt: problem for problem in gsm_symbolic.draw(0, 200, 5)[0]}
    assert long.split(" / ") == [*drawn[prompt].steps, f"#### {drawn[prompt].answer}"]


def test_the_problem_of_an_own_task(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    item = json.loads(EXAMPLES["own task"])
    (tmp_path / "task.py").write_text(
        f"def problems(seed, count):\n    item = {item!r}\n    yield item\n    yield item | {{'prompt': '?'}}\n"
    )
    train, test = rows_of({"p_cot": 1, "n_train": 1, "n_test": 1, "sources": [{"task": "task.py:problems"}]})
    assert test[0]["prompt"][0]["content"] == item["prompt"] and test[0]["completion"][0]["content"] == "6 + 2 = 8\n#### 8"
