"""Generated pages are up to date, and the examples for Python run."""

from tests.conftest import ROOT


def test_the_page_of_fields_is_up_to_date():
    from recipes.training.fields import PAGE, make_page

    assert PAGE.read_text() == make_page(), "run `python -m recipes.training.fields`"


def test_the_examples_for_python_run(command, parity_run, tmp_path):
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    for model in ("sft", "grpo"):
        (tmp_path / "runs" / "demo" / model).symlink_to(parity_run / "sft")
    # vLLM asks stdout for its descriptor, which doctest's does not have
    code = "import doctest, sys; doctest._SpoofOut.fileno = lambda _: 1; print(doctest.testfile(sys.argv[1], False))"
    done = command("-c", code, ROOT / "eval/README.md", cwd=tmp_path, fresh=False)
    assert done.stdout.splitlines()[-1] == "TestResults(failed=0, attempted=16)"
