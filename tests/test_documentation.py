"""Generated pages are up to date, and the examples for Python run."""

import doctest

import pytest

from tests.conftest import ROOT


def test_the_page_of_fields_is_up_to_date():
    from recipes.training.fields import PAGE, make_page

    assert PAGE.read_text() == make_page(), "run `python -m recipes.training.fields`"


@pytest.mark.slow
def test_the_examples_for_python_run(parity_run, tmp_path, monkeypatch):
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    for model in ("sft", "grpo"):
        (tmp_path / "runs" / "demo" / model).symlink_to(parity_run / "sft")
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(ROOT / "eval/README.md"), module_relative=False, encoding="utf-8")
    assert result.attempted >= 10 and result.failed == 0
