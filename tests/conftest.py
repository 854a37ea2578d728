"""What the tests share: the real data beside the checkout, commands run as a user runs them, and a tiny random Llama."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with real GSM8K, MATH and others, as ../shared/data beside the checkout."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is absent: the real data sets are not part of the repository")
    return DATA


@pytest.fixture(scope="session")
def command():
    """Runs `python ARGS` in the repository root, as a user would; returns the finished process with its text output."""

    def run(*args: object, check: bool = True, **env: str) -> subprocess.CompletedProcess:
        line = [sys.executable, *map(str, args)]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", **env}
        done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{' '.join(line)}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        return done

    return run


@pytest.fixture(scope="session")
def llama(tmp_path_factory) -> dict[str, str]:
    """Tiny random Llamas with Llama 3's special tokens: `base` (no chat template) and `instruct` (Llama 3's template)."""
    from tests.tiny_llama import save_tiny_llama

    folder = tmp_path_factory.mktemp("llama")
    return {kind: save_tiny_llama(folder / kind, instruct=kind == "instruct") for kind in ("base", "instruct")}
