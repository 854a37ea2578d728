"""Decontamination finds overlaps despite superficial changes, and keeps problems that are merely similar."""

import random
import re

import pytest

from data_mix.decontamination import EvaluationIndex, decontaminate, fingerprint
from data_mix.problem import Problem
from data_mix.tasks import gsm8k, math

NAMES = ("Zorblax", "Quimby", "Anneliese", "Bartholomew")


def problem(text, id="p", answer="1"):
    return Problem(id, "mine", text, ("1",), answer, {"style": "gsm8k"})


@pytest.fixture(scope="module")
def gsm(data):
    return gsm8k.read("refuse", path=str(data / "gsm8k"))


def disguise(text: str, rng: random.Random) -> str:
    """The question with one name replaced throughout, and with changed case, white space and punctuation."""
    capitals = re.findall(r"(?<=[a-z,] )[A-Z][a-z]+\b", text) or re.findall(r"\b[A-Z][a-z]+\b", text)
    if capitals:
        text = re.sub(rf"\b{rng.choice(capitals)}\b", rng.choice(NAMES), text)
    text = rng.choice([str.lower, str.upper, str.title, str])(text)
    replacement = rng.choice(["", " "])
    text = "".join(replacement if c in ".,!?;:'\"-$" and rng.random() < 0.7 else c for c in text)
    return re.sub(" ", lambda _: rng.choice([" ", "  ", "\n", "\t"]), text)


def test_at_least_99_percent_of_disguised_test_questions_are_found(gsm):
    rng = random.Random(0)
    index = EvaluationIndex(13)
    for p in gsm.test:
        index.add(p, "GSM8K test")
    found = [index.find(problem(disguise(p.prompt, rng))) for p in rng.sample(gsm.test, 500)]
    assert sum(overlap is not None for overlap in found) >= 495


def test_gsm8k_train_loses_only_problems_that_share_a_13_gram_with_its_test_set(gsm):
    kept, removed, _ = decontaminate({"gsm8k": gsm.train}, {"test": gsm.test}, 13)
    assert len(kept["gsm8k"]) + len(removed["gsm8k"]) == 7473 and len(removed["gsm8k"]) < 10
    by_id = {p.id: re.findall(r"\w+", p.prompt.lower()) for p in [*gsm.train, *gsm.test]}
    for overlap in removed["gsm8k"]:
        pair = (by_id[overlap.id], by_id[overlap.other])
        one, other = ({tuple(words[i : i + 13]) for i in range(len(words) - 12)} for words in pair)
        assert one & other


def test_the_two_math_train_problems_that_are_also_in_math_test_are_found(data):
    records = math.read("refuse", path=str(data / "math"))
    _, removed, _ = decontaminate({"math": records.train}, {"math test": records.test}, 13)
    same = {(o.id, o.other) for o in removed["math"] if o.reason == "text" and o.where == "math test"}
    assert {
        ("train/algebra/517.json", "test/algebra/636.json"),
        ("train/geometry/6032.json", "test/precalculus/24307.json"),
    } <= same


def test_fingerprints_keep_mathematical_signs_and_ignore_punctuation():
    assert fingerprint("What is $3 + 4$?") == fingerprint("what is $3+4$")
    assert fingerprint("What is $3 + 4$?") != fingerprint("What is $3 - 4$?")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 5!?", "What is 5?"),
        ("What is $n!$?", "What is $n$?"),
        ("Round 1.5", "Round 1, 5"),
        ("At 1:30", "At 1, 30"),
        ("x ≤ 2", "x ≥ 2"),
        ("3 × 4", "3 ÷ 4"),
        ("√5", "5"),
        ("5%", "5"),
        ("x² + 1", "x2 + 1"),
        ("a₁ + 1", "a1 + 1"),
        ("5 − 3", "5 3"),
        ("a ★ b", "a b"),
    ],
)
def test_signs_that_carry_meaning_distinguish_problems(one, other):
    assert fingerprint(one) != fingerprint(other)


def test_variants_of_a_sign_are_equal_and_sentence_punctuation_is_ignored():
    assert fingerprint("x² − 3") == fingerprint("x^2 - 3")
    assert fingerprint("“Wow!” said Ann… She has 1,5 and 7.") == fingerprint("wow said ann\u200b. she has 1, 5 and 7")


@pytest.mark.parametrize(("answer", "is_removed"), [("0.5", True), ("\\frac{1}{2}", True), ("2", False)])
def test_an_equal_fingerprint_is_removed_only_with_an_equal_answer_and_otherwise_reported(answer, is_removed):
    train, exam = problem("What is f'(2)?", "a/0", answer), problem("What is f(2)?", "exam/0", "1/2")
    kept, removed, other_answer = decontaminate({"a": [train]}, {"exam": [exam]}, 13)
    assert (len(removed["a"]), len(other_answer["a"]), kept["a"]) == ((1, 0, []) if is_removed else (0, 1, [0]))
    [pair] = removed["a"] or other_answer["a"]
    assert (pair.id, pair.other, pair.where, pair.reason) == ("a/0", "exam/0", "exam", "text")


def test_an_annotation_error_does_not_hide_a_leak():
    train, exam = problem("What IS \n 2 + 2?", answer="5"), problem("What is 2 + 2?", "exam/0", "4")
    _, removed, other_answer = decontaminate({"a": [train]}, {"exam": [exam]}, 13)
    assert len(removed["a"]) == 1 and not other_answer["a"]


def test_all_problems_with_the_same_fingerprint_are_compared():
    exam = [problem("f'(2)?", "exam/0", "1"), problem("f''(2)?", "exam/1", "2")]
    _, removed, _ = decontaminate({"a": [problem("f(2)?", "a/0", "2")]}, {"exam": exam}, 13)
    assert [overlap.other for overlap in removed["a"]] == ["exam/1"]


def test_the_first_of_two_duplicate_training_problems_is_kept_across_sources():
    kept, removed, _ = decontaminate(
        {"a": [problem("One, two?", "a/0")], "b": [problem("one two", "b/0"), problem("three", "b/1")]}, {}, 13
    )
    assert kept == {"a": [0], "b": [1]}
    assert (removed["b"][0].other, removed["b"][0].where) == ("a/0", "a train")


def test_ngram_sets_the_length_of_a_shared_sequence():
    text = "Ann has five red apples and Ben has four green pears in his bag today"
    indices = {n: EvaluationIndex(n) for n in (5, 13)}
    for index in indices.values():
        index.add(problem(text), "test")
    other = problem("Ann has five red apples and some other things that were never mentioned")
    assert indices[5].find(other).reason == "ngram" and indices[13].find(other) is None
