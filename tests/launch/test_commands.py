"""The commands answer at once, because nothing heavy is imported for them."""

import pytest

LOADED = (
    "import sys, runpy; sys.argv = ['x', '--help']\n"
    "try: runpy.run_module('{}', run_name='__main__')\n"
    "except SystemExit: pass\n"
    "print([m for m in ('torch', 'vllm', 'transformers', 'datasets', 'pyarrow') if m in sys.modules])"
)


@pytest.mark.parametrize("package", ["data_mix", "rewards", "eval", "launch"])
def test_help_loads_neither_torch_nor_vllm(command, package):
    done = command("-c", LOADED.format(package))
    assert "usage: python -m " + package in done.stdout and done.stdout.endswith("[]\n")


def test_check_takes_every_config_to_its_recipe(command, tmp_path):
    done = command("-m", "launch", "check", tmp_path / "dpo.yaml", tmp_path / "sft.yaml", check=False)
    assert done.returncode == 2
    assert "no recipe of that name" in done.stderr and "sft.yaml: no such file" in done.stderr
