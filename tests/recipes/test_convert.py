"""recipes/convert_mawps_asdiv.py: numbers are put back, equations become infix, and what cannot be a problem is left out."""

import json

import pytest

from data_mix.errors import InputError
from data_mix.tasks import svamp
from recipes import convert_mawps_asdiv as script

LINES = (
    "Question,Numbers,Equation,Answer,Body,Ques",
    ",3.0 4.50,* number0 number1,13.5,Ann has number0 bags of number1 kg .,How heavy are they ?",
    ",3.0 4.50,* number0 number1,13.5,ann has number0 bags of number1 kg .,how heavy are they ?",  # a repeat
    ",8.0 5.0,- number0 * number1 number1,7.0,Ben has number0 and pays number1 .,What is left ?",  # the answer is wrong
    ",8.0 0.0,/ number0 number1,7.0,Ben has number0 and pays number1 .,What is left ?",
)
TEST = [{"ID": "chal-1", "Body": "Dan had 4", "Question": "What is left of 3?", "Equation": "( 4.0 - 3.0 )", "Answer": 1.0}]


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [("7", "7"), ("- 5 * 2 2", "( 5 - ( 2 * 2 ) )"), ("- * 5 2 -2.0", "( ( 5 * 2 ) - -2.0 )")],
)
def test_an_equation_is_written_infix(prefix, expected):
    assert script.infix(prefix.split()) == expected


def test_the_task_svamp_reads_what_is_written(tmp_path):
    source = tmp_path / script.TRAIN
    source.parent.mkdir(parents=True)
    source.write_text("\n".join(LINES))
    (tmp_path / script.TEST).write_text(json.dumps(TEST))
    script.main(tmp_path, tmp_path / "data")
    read = svamp.read("refuse", path=str(tmp_path / "data"))
    [problem] = read.train
    assert problem.prompt == "Ann has 3 bags of 4.50 kg . How heavy are they ?"
    assert (problem.steps, problem.answer) == (("3 * 4.5 = 13.5",), "13.5")
    assert [problem.answer for problem in read.test] == ["1"]


def test_a_folder_that_is_no_clone_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no data/mawps-asdiv-a_svamp/train.csv; give a clone"):
        script.main(tmp_path, tmp_path / "data")
    assert not (tmp_path / "data").exists()
