"""Code that comes with a model is neither run nor offered to be run."""

import json
import subprocess
import sys

import pytest

from recipes.training.models import character_tokenizer
from tests.conftest import ROOT

LOADERS = [
    "from data_mix.lengths import LengthCounter as load; load({!r})",
    "from eval.model_folder import load_tokenizer as load; load({!r}, '--model')",
    "from eval.model_folder import load_config as load; load({!r})",
]


@pytest.mark.parametrize("loader", LOADERS)
def test_a_models_code_is_not_run_even_if_the_user_answers_yes(tmp_path, loader):
    character_tokenizer("01=").save_pretrained(tmp_path)
    fields = {"auto_map": {"AutoTokenizer": ["code.Mine", None]}, "tokenizer_class": "Mine"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(fields))
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoConfig": "code.Mine"}, "model_type": "mine"}))
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')\nclass Mine: pass\n")
    code = loader.format(str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, input="y\n", capture_output=True, text=True, check=False)
    assert "InputError: " in done.stderr and "[y/N]" not in done.stdout + done.stderr
    assert not (tmp_path / "was-run").exists()
