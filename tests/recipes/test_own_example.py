"""The tutorial recipes/own/README.md: its commands run as they are written."""

import json
import re
import shlex

import pytest

from tests.conftest import ROOT

README = (ROOT / "recipes/own/README.md").read_text()
COMMANDS = [shlex.split(line) for line in re.findall(r"^    (\S.*)$", README, re.MULTILINE)]


def test_what_the_rewards_pay_is_as_printed(command, tmp_path):
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    command("-m", "data_mix", "build", "recipes/own/my_data.yaml", "--out", "runs/own/mixture", cwd=tmp_path)
    printed = command("-m", "rewards", "try", "recipes/own/my_grpo.yaml", cwd=tmp_path).stdout
    assert printed.strip() == re.search(r"```\n(.*?)```", README, re.DOTALL)[1].strip()


@pytest.mark.slow
def test_the_tutorial_from_mixture_to_report(command, tmp_path):
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    for program, *words in COMMANDS:
        words = ["-m", "accelerate.commands.launch", *words[1:]] if program == "accelerate" else words
        command(*words, cwd=tmp_path)
    run = tmp_path / "runs" / "own"
    before, after = (json.loads((run / "eval" / stage / "metrics.json").read_text()) for stage in ("sft", "grpo"))
    assert before["accuracy"]["value"] < 0.6 and after["accuracy"]["value"] > 0.9 and after["p_long"] > 0.9
    assert set(after["by_source"]) == {"trits", "mine"} and (run / "report.html").is_file()
