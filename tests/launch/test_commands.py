"""The commands start fast because they import nothing heavy, and `launch check` passes its arguments on."""

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


def test_check_takes_several_configs(command, tmp_path):
    (tmp_path / "c.yaml").write_text("recipe: dpo")
    done = command("-m", "launch", "check", tmp_path / "c.yaml", tmp_path / "no.yaml", check=False)
    assert done.returncode == 2
    assert "recipe is 'dpo'" in done.stderr and "no.yaml: config: no such file" in done.stderr
