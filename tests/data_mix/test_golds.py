"""Gold completions are checked with the verifier; a problem whose gold is not judged correct is broken."""

import json

import numpy as np
import pytest

from data_mix import golds
from data_mix.errors import InputError
from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build
from data_mix.problem import ProblemPool
from data_mix.show import show
from data_mix.tasks import find_task, multiplication, parity
from tests.data_mix.helpers import write_jsonl

FORMS = ("short", "long", "partial-2", "partial-3")
SOURCE = {"task": "records", "name": "mine", "solution": "solution", "answer": "answer"}


def records(n, **changed):
    """`n` addition problems; the one at index 3 is changed."""
    made = [{"question": f"{i} + {i}?", "solution": f"Add.\n{i} + {i} = {2 * i}", "answer": 2 * i} for i in range(n)]
    made[3] |= changed
    return made


@pytest.mark.parametrize("style", [None, "gsm8k", "boxed"])
@pytest.mark.parametrize(
    ("task", "path", "train", "test"),
    [
        ("gsm8k", "gsm8k", 7473, 1319),
        ("math", "math", 7498, 5000),
        ("svamp", "svamp/test.jsonl", 999, None),
        ("svamp", "mawps_asdiv", 2779, 999),
    ],
)
def test_all_golds_of_the_real_data_are_correct_in_every_form_and_style(data, task, path, train, test, style):
    read = find_task(task).read("drop", path=str(data / path))
    for problems, n in ((read.train, train), (read.test, test)):
        assert (problems and len(problems)) == n
        if n:
            assert golds.find_wrong(ProblemPool(n, problems.__getitem__), range(n), FORMS, style) == {}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"solution": "It is 6.</s> Done."}, "long, unparseable: extracted None, gold '6'"),
        ({"answer": "x" * 500}, "long, wrong: extracted 'xxxx"),
    ],
)
def test_a_wrong_gold_is_a_one_line_error_or_dropped_and_listed(tmp_path, changed, reason):
    path = write_jsonl(tmp_path / "r.jsonl", records(30, **changed))
    raw = {"p_cot": 0.5, "n_train": 20, "n_test": 5, "sources": [{**SOURCE, "path": path}]}
    with pytest.raises(InputError) as error:
        build(parse_config(raw), str(tmp_path / "m"))
    message = str(error.value)
    assert f"mine: 1 of 30 gold completions are not judged correct: mine/train/3 ({reason}" in message
    assert "on_error: drop" in message and "\n" not in message and len(message) < 400

    manifest = build(parse_config({**raw, "on_error": "drop"}), str(tmp_path / "m"))
    source = manifest["sources"]["mine"]
    assert source["gold"] == {"checked": 30, "wrong": ["mine/train/3"]} and source["broken"] == 1
    assert "30 gold completions checked, 1 judged wrong and dropped: mine/train/3" in show(str(tmp_path / "m"))


def test_train_is_decontaminated_against_test_problems_dropped_for_their_gold(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", records(20))
    write_jsonl(tmp_path / "test.jsonl", records(9, solution="It is.</s>")[3:9:2])
    raw = {"p_cot": 0.5, "n_train": 5, "n_test": 1, "sources": [{**SOURCE, "path": str(tmp_path)}], "on_error": "drop"}
    manifest = build(parse_config(raw), str(tmp_path / "m"))
    source = manifest["sources"]["mine"]
    assert source["gold"]["wrong"] == ["mine/test/0"]
    assert [overlap["id"] for overlap in source["removed"] if overlap["other"] == "mine/test/0"] == ["mine/train/3"]


def test_large_sources_are_checked_by_an_evenly_spaced_sample():
    assert list(golds.choose(20, 20, 5)) == list(range(20))
    assert golds.choose(21, 20, 5) == [0, 4, 8, 12, 16]
    train, _ = parity.draw(0, 5000, 1, d=20)
    assert golds.find_wrong(train, golds.choose(5000, 1000, 1000), FORMS, None) == {}


@pytest.mark.parametrize("task", [parity, multiplication])
def test_a_chain_that_differs_from_the_long_form_is_a_wrong_gold(task):
    options = {"d": 8} if task is parity else {"n": 3, "m": 3}
    train, _ = task.draw(0, 10, 1, **options)

    class Broken(ProblemPool):
        def columns(self, indices, form, style):
            columns = {name: list(map(str, values)) for name, values in train.columns(np.asarray(indices), form, style).items()}
            meta = json.loads(columns["meta"][2])
            columns["meta"][2] = json.dumps({**meta, "long": "0" + meta["long"]})
            return columns

    wrong = golds.find_wrong(Broken(10, train.problem), range(10), ["short", "long"], None)
    assert list(wrong) == [2] and wrong[2].startswith("long, wrong chain: extracted")


def test_the_manifest_counts_checked_golds_and_torch_is_not_imported(tmp_path, command):
    raw = {"p_cot": 0.5, "n_train": 3000, "n_test": 10, "sources": [{"task": "multiplication", "n": 3, "m": 3}]}
    (tmp_path / "m.yaml").write_text(json.dumps(raw))
    code = (
        "import sys; from data_mix.__main__ import main\n"
        f"main(['build', {str(tmp_path / 'm.yaml')!r}, '--out', {str(tmp_path / 'm')!r}])\n"
        "print([m for m in ('torch', 'transformers', 'vllm') if m in sys.modules])"
    )
    assert command("-c", code).stdout.endswith("[]\n")
    manifest = json.loads((tmp_path / "m" / "manifest.json").read_text())
    assert manifest["sources"]["multiplication"]["gold"] == {"checked": 1010, "wrong": []}
    assert "1010 gold completions checked, all correct" in show(str(tmp_path / "m"))
