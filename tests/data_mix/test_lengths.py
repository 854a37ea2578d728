"""A tokenizer's own code is neither run nor offered to be run."""

import json
import subprocess
import sys

from recipes.training.models import character_tokenizer
from tests.conftest import ROOT


def test_code_that_comes_with_a_tokenizer_is_not_run_even_if_the_user_answers_yes(tmp_path):
    character_tokenizer("01=").save_pretrained(tmp_path)
    fields = {"auto_map": {"AutoTokenizer": ["code.Mine", None]}, "tokenizer_class": "Mine"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(fields))
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')\nclass Mine: pass\n")
    code = f"from data_mix.lengths import LengthCounter; LengthCounter({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, input="y\n", capture_output=True, text=True, check=False)
    assert "InputError: tokenizer" in done.stderr and "[y/N]" not in done.stdout + done.stderr
    assert not (tmp_path / "was-run").exists()
