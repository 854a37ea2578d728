import pytest

from data_mix.errors import InputError
from data_mix.forms import check_form, choose_steps, write_completion
from data_mix.tasks.parity import make_problem

STEPS = ("one", "two", "three", "four", "five")


def gsm(style, form):
    return write_completion(("4 + 4 = 8", "8 / 2 = 4"), "4", style, form)


def test_short_is_the_answer_only_and_long_has_all_steps_first():
    assert gsm("gsm8k", "short") == "#### 4"
    assert gsm("gsm8k", "long") == "4 + 4 = 8\n8 / 2 = 4\n#### 4"
    assert gsm("boxed", "short") == "The final answer is $\\boxed{4}$."


def test_partial_k_has_every_kth_step_and_always_the_last():
    assert choose_steps(STEPS, "partial-2") == ("two", "four", "five")
    assert choose_steps(STEPS[:4], "partial-2") == ("two", "four")
    assert choose_steps(STEPS, "partial-1") == STEPS
    assert choose_steps(STEPS, "partial-9") == ("five",)


def test_parity_steps_are_prefix_parities_and_the_last_one_is_the_answer():
    problem = make_problem("1101")
    assert problem.prompt == "1101="
    written = [write_completion(problem.steps, problem.answer, "parity", form) for form in ("long", "short", "partial-2")]
    assert written == ["1001", "1", "01"]


@pytest.mark.parametrize("form", ["medium", "partial-0", "partial-", "Long", ""])
def test_an_unknown_form_is_an_error(form):
    with pytest.raises(InputError, match="partial-k"):
        check_form(form)
