"""The project as others get it: a wheel that needs no checkout, one version in all files, and tests that CI cannot skip."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, skip

PACKAGES = ("data_mix", "rewards", "eval", "launch", "recipes")


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder into which the wheel is installed. It is built from a copy, because setuptools writes into the source."""
    folder = tmp_path_factory.mktemp("package")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    pip, options = [sys.executable, "-m", "pip", "--quiet"], ["--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", *options, "--no-build-isolation", "--wheel-dir", folder, folder / "source"], check=True)
    (wheel,) = folder.glob("cotmix-*.whl")
    subprocess.run([*pip, "install", *options, "--target", folder / "target", wheel], check=True)
    return folder / "target"


def test_the_wheel_has_every_file_that_the_code_reads(installed):
    def files(root: Path) -> set[str]:
        paths = (path for name in PACKAGES for path in (root / name).rglob("*") if path.is_file())
        return {str(path.relative_to(root)) for path in paths if path.suffix not in (".md", ".png", ".pyc")}

    assert files(installed) == files(ROOT)
    assert next(installed.glob("cotmix-*.dist-info/licenses/LICENSE")).read_text() == (ROOT / "LICENSE").read_text()


@pytest.mark.slow
def test_the_first_steps_of_the_demo_run_from_an_empty_folder(installed, tmp_path):
    def python(*args: object) -> str:
        line = [sys.executable, *map(str, args)]
        env = {**os.environ, "PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(line)}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    where = f"import {', '.join(PACKAGES)}\nfor one in {', '.join(PACKAGES)}: print(one.__file__)"
    assert python("-c", where).split() == [str(installed / name / "__init__.py") for name in PACKAGES]

    parity = installed / "recipes" / "parity"
    python(
        "-m", "data_mix", "build", parity / "mixture.yaml", "--out", "runs/demo/mixture", "--set", "n_train=256", "n_test=16"
    )
    small = ["--max_steps", 2, "--per_device_train_batch_size", 16, "--heldout_problems", 2, "--report_to", "none"]
    assert "runs/demo/sft: saved" in python("-m", "recipes.sft", *small)  # without --config: the default inside the package
    assert (tmp_path / "runs" / "demo" / "sft" / "model.safetensors").is_file()

    assert "grpo.yaml: passes" in python("-m", "launch", "check", parity / "mixture.yaml", parity / "grpo.yaml")
    script = python("-m", "launch", "slurm", "recipes/grpo.py", "--nodes", 2, "--gpus-per-node", 0)
    assert "#SBATCH --nodes=2" in script and "recipes/grpo.py" in script
    assert "todo sft/" in python("-m", "launch", "ablate", parity / "threshold.yaml", "--dry-run")
    assert "usage: python -m eval" in python("-m", "eval", "--help")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]


def test_all_files_name_one_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert re.search(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE).group(1) == version


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_what_may_be_skipped_elsewhere_fails_in_ci(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no Slurm here"):
        skip("no Slurm here")
