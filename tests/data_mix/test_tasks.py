"""The tasks on real records: GSM8K and MATH beside the checkout, gsm_symbolic from its package."""

import pytest

from data_mix.config import parse_config
from data_mix.errors import InputError
from data_mix.mixture import make_rows
from data_mix.tasks import gsm8k, gsm_symbolic
from data_mix.tasks.math import last_boxed, split_steps
from rewards.scorer import score


def rows_of(source, **changes):
    return make_rows(parse_config({"p_cot": 0.5, "n_train": None, "n_test": 100, "sources": [source], **changes}))


def all_correct(rows):
    texts = [r["completion"] if isinstance(r["completion"], str) else r["completion"][0]["content"] for r in rows]
    import json

    return all(
        score(t, r["answer"], json.loads(r["meta"]), False).outcome == "correct" for t, r in zip(texts, rows, strict=True)
    )


def test_gsm8k_in_both_forms_is_right_for_the_verifier(data):
    train, test = rows_of({"task": "gsm8k", "path": str(data / "gsm8k")})
    assert len(train) == 7473 and len(test) == 100
    assert sum(row["form"] == "long" for row in train) == round(0.5 * 7473)
    assert all_correct(train[:1500]) and all_correct(test)
    assert not any("<<" in row["completion"][0]["content"] for row in train)


def test_math_in_both_forms_is_right_for_the_verifier(data):
    train, test = rows_of({"task": "math", "path": str(data / "math")})
    assert len(train) == 7500
    assert all_correct(train[:300]) and all_correct(test)


def test_gsm_symbolic_keeps_to_its_templates_and_train_and_test_apart():
    train, test = gsm_symbolic.load(5, 200, 50, templates=[10, 43])
    assert {p.id.split("/")[1] for p in train + test} == {"10", "43"}
    assert len({p.prompt for p in train + test}) == 250
    assert not any("####" in step for p in train for step in p.steps)


def test_a_missing_template_is_named():
    with pytest.raises(InputError, match="no template 100"):
        gsm_symbolic.load(0, 1, 1, templates=[100])


def test_a_broken_line_is_named(tmp_path):
    good = '{"question": "1 + 1?", "answer": "1 + 1 = <<1+1=2>>2\\n#### 2"}\n'
    (tmp_path / "test.jsonl").write_text(good)
    (tmp_path / "train.jsonl").write_text(good + "{broken\n")
    with pytest.raises(InputError, match=r"train\.jsonl:2: not JSON"):
        gsm8k.load(0, None, None, path=str(tmp_path))
    (tmp_path / "train.jsonl").write_text(good + '{"question": "?", "answer": "none"}\n')
    with pytest.raises(InputError, match=r"gsm8k/train/1: needs"):
        gsm8k.load(0, None, None, path=str(tmp_path))


def test_more_rows_than_the_source_has_is_an_error(tmp_path):
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text('{"question": "1 + 1?", "answer": "2\\n#### 2"}\n')
    with pytest.raises(InputError, match="2 rows asked for, the source has 1"):
        gsm8k.load(0, 2, 1, path=str(tmp_path))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so $\boxed{\frac{1}{2}}$", r"\frac{1}{2}"),
        (r"\boxed{1}, then \fbox{2}", "2"),
        (r"thus $\boxed 2$.", "2"),
        (r"\boxed{never closed", None),
        ("none", None),
    ],
)
def test_the_last_box_is_the_answer(text, answer):
    assert last_boxed(text) == answer


def test_steps_are_sentences_and_mathematics_is_never_cut():
    assert split_steps("First, $x = 1. 5$ holds. Then $y = 2$. So \\[a. b\\] is $\\boxed{3}$.") == (
        "First, $x = 1. 5$ holds.",
        "Then $y = 2$.",
        "So \\[a. b\\] is $\\boxed{3}$.",
    )
