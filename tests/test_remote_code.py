"""Code that comes with a model is neither run nor offered to be run."""

import json
import subprocess
import sys

import pytest

from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build
from recipes.training.models import character_tokenizer
from tests.conftest import ROOT

LOAD = """
from data_mix.errors import InputError
from data_mix.lengths import LengthCounter
from eval.model_folder import load_config, load_tokenizer

for load in (LengthCounter, lambda path: load_tokenizer(path, "--model"), load_config):
    try:
        load({!r})
    except InputError:
        print("refused")
"""


@pytest.fixture
def model(tmp_path):
    """A model folder whose tokenizer and config ask for code.py, which leaves a file `was-run`."""
    character_tokenizer("01=").save_pretrained(tmp_path)
    fields = {"auto_map": {"AutoTokenizer": ["code.Mine", None]}, "tokenizer_class": "Mine"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(fields))
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoConfig": "code.Mine"}, "model_type": "mine"}))
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')\nclass Mine: pass\n")
    return tmp_path


def say_yes(*words):
    return subprocess.run([sys.executable, *words], cwd=ROOT, input="y\n" * 3, capture_output=True, text=True, check=False)


def test_a_models_code_is_not_run_even_if_the_user_answers_yes(model):
    done = say_yes("-c", LOAD.format(str(model)))
    assert done.stdout == "refused\n" * 3 and "[y/N]" not in done.stderr
    assert not (model / "was-run").exists()


def test_trying_rewards_does_not_run_it_either(model):
    raw = {"p_cot": 0.5, "n_train": 8, "n_test": 2, "sources": [{"task": "parity", "d": 8}]}
    build(parse_config(raw), str(model / "mixture"))
    fields = {"mixture": str(model / "mixture"), "model_name_or_path": str(model), "rewards": ["answer"]}
    (model / "grpo.yaml").write_text(json.dumps(fields))
    done = say_yes("-m", "rewards", "try", str(model / "grpo.yaml"))
    assert "lengths are in characters" in done.stdout and "[y/N]" not in done.stdout + done.stderr
    assert not (model / "was-run").exists()
