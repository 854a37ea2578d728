"""Sources and evaluation sets are all used, whatever their names."""

import json

import pytest

from data_mix.errors import InputError
from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build, verify
from data_mix.show import diff, show
from data_mix.sources import unique_names
from tests.data_mix.helpers import rows_of, write_jsonl

SOURCE = {"task": "records", "name": "mine", "question": "q", "steps": "s", "answer": "a"}


def mine(tmp_path):
    made = [{"q": f"Question {i}?", "s": ["think"], "a": i} for i in range(20)]
    return {**SOURCE, "path": write_jsonl(tmp_path / "mine.jsonl", made)}


def removed_by(tmp_path, source, against):
    raw = {"p_cot": 0.5, "n_train": 10, "n_test": 2, "sources": [source], "against": against}
    manifest = build(parse_config(raw), str(tmp_path / "m"))
    return {(overlap["id"], overlap["where"]) for overlap in manifest["sources"][source["name"]]["removed"]}


def test_two_evaluation_sets_from_one_file_are_both_used(tmp_path):
    source = mine(tmp_path)
    exam = write_jsonl(tmp_path / "exam.jsonl", [{"q": "question 4", "other": "QUESTION  5?", "s": ["-"], "a": 4}])
    removed = removed_by(tmp_path, source, [{**SOURCE, "path": exam}, {**SOURCE, "path": exam, "question": "other"}])
    assert removed == {("mine/train/4", f"{exam} test"), ("mine/train/5", f"{exam} test (2)")}


def test_an_evaluation_set_with_the_name_of_a_source_is_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = mine(tmp_path)
    (tmp_path / "mine").mkdir()
    write_jsonl(tmp_path / "mine" / "test.jsonl", [{"q": f"question {i}?", "s": ["-"], "a": i} for i in range(3)])
    removed = removed_by(tmp_path, source, [{**SOURCE, "path": "mine"}])
    assert len(removed) >= 1 and {where for _, where in removed} == {"mine test (2)"}


def test_an_evaluation_set_without_problems_is_an_error(tmp_path):
    (tmp_path / "exam").mkdir()
    (tmp_path / "exam" / "test.jsonl").write_text("\n")
    with pytest.raises(InputError, match="against: .*exam has no problems"):
        removed_by(tmp_path, mine(tmp_path), [{**SOURCE, "path": str(tmp_path / "exam")}])


def test_a_source_without_problems_is_an_error(tmp_path):
    (tmp_path / "train.jsonl").write_text("")
    write_jsonl(tmp_path / "test.jsonl", [{"q": "?", "s": ["-"], "a": 1}])
    raw = {"p_cot": 0.5, "n_train": None, "n_test": 1, "sources": [{**SOURCE, "path": str(tmp_path)}]}
    with pytest.raises(InputError, match="mine: 1 rows needed, the source has 0"):
        build(parse_config(raw), str(tmp_path / "m"))


def test_duplicate_names_are_numbered():
    assert unique_names(["a", "b", "a", "a (2)", "a"]) == ["a", "b", "a (2)", "a (2) (2)", "a (3)"]


def test_two_sources_of_one_task_have_separate_entries(tmp_path):
    sources = [{"task": "parity", "d": d, "share": share} for d, share in ((12, 0.25), (14, 0.75))]
    raw = {"p_cot": 0.5, "n_train": 100, "n_test": 4, "sources": sources}
    manifest = build(parse_config(raw), str(tmp_path / "a"))
    assert {name: source["drawn"] for name, source in manifest["sources"].items()} == {"parity": 25, "parity (2)": 75}
    text = show(str(tmp_path / "a"))
    assert "parity: 25 drawn; 25 left" in text and "parity (2): 75 drawn; 75 left" in text
    verify(str(tmp_path / "a"))
    build(parse_config({**raw, "n_train": 120}), str(tmp_path / "b"))
    assert "rows parity long: 50 -> 60" in diff(str(tmp_path / "a"), str(tmp_path / "b"))


def test_a_manifest_does_not_depend_on_the_hash_seed(tmp_path, command):
    """With duplicate train questions, and some that differ in one word from several test questions."""
    words = [f"word{letter}" for letter in "abcdefghijklmnopqrst"]
    away = [" ".join([*words[:i], "zorblax", *words[i + 1 :]]) for i in range(len(words))]
    train = [{"q": f"Question number {i} of {i * i}?", "s": ["think"], "a": i} for i in range(30)]
    train += [
        {"q": " ".join([*words[:i], name, *words[i + 1 :]]), "s": ["-"], "a": i} for i, name in enumerate(("he", "we", "it"))
    ]
    train += [{"q": " ".join(words), "s": ["-"], "a": 1}, *train[:5]]
    (tmp_path / "set").mkdir()
    write_jsonl(tmp_path / "set" / "train.jsonl", train)
    write_jsonl(tmp_path / "set" / "test.jsonl", [{"q": q, "s": ["-"], "a": i} for i, q in enumerate(away)])
    raw = {"p_cot": 0.5, "n_train": 20, "n_test": 3, "sources": [{**SOURCE, "path": str(tmp_path / "set")}]}
    (tmp_path / "m.yaml").write_text(json.dumps(raw))
    manifests = set()
    for seed in ("0", "1", "2", "3"):
        command("-m", "data_mix", "build", tmp_path / "m.yaml", "--out", tmp_path / seed, PYTHONHASHSEED=seed)
        manifests.add((tmp_path / seed / "manifest.json").read_bytes())
    assert len(manifests) == 1
    reasons = [overlap["reason"] for overlap in json.loads(manifests.pop())["sources"]["mine"]["removed"]]
    assert reasons.count("one_word") >= 4 and reasons.count("text") == 5
    verify(str(tmp_path / "0"))


def test_records_that_repeat_generated_test_problems_are_removed(tmp_path):
    templates = {"p_cot": 0.5, "n_train": 20, "n_test": 4, "seed": 0, "sources": [{"task": "gsm_symbolic"}]}
    test = rows_of({**templates, "n_train": 10, "n_test": 2})[1]
    lines = [{"question": row["prompt"][-1]["content"], "worked": "Done.", "a": row["answer"]} for row in test]
    lines += [{"question": f"What is {i} plus one?", "worked": "Done.", "a": i + 1} for i in range(20)]
    mine = {"task": "records", "name": "mine", "question": "question", "solution": "worked", "answer": "a"}
    mine["path"] = write_jsonl(tmp_path / "mine.jsonl", lines)
    sources = [{"task": "gsm_symbolic", "share": 0.5}, {**mine, "share": 0.5}]
    train, tested = rows_of({**templates, "sources": sources})
    prompts = {row["prompt"][-1]["content"] for row in tested if row["source"] == "gsm_symbolic"}
    assert len(prompts) == 2 and not prompts & {row["prompt"][-1]["content"] for row in train}


def test_verify_names_a_changed_evaluation_set(tmp_path):
    mine = {"task": "records", "name": "mine", "question": "q", "solution": "worked", "answer": "a"}
    lines = [{"q": f"What is {i} plus one?", "worked": "Done.", "a": i + 1} for i in range(20)]
    other = write_jsonl(tmp_path / "other.jsonl", [{"q": "Something else?", "worked": "Done.", "a": 1}])
    raw = {"p_cot": 0.5, "n_train": 10, "n_test": 4, "against": [{**mine, "path": other}]}
    raw["sources"] = [{**mine, "path": write_jsonl(tmp_path / "mine.jsonl", lines)}]
    manifest = build(parse_config(raw), str(tmp_path / "m"))
    assert len(manifest["against"][f"{other} test"]["sha256"]["other.jsonl"]) == 64
    write_jsonl(tmp_path / "other.jsonl", [{"q": "Another thing?", "worked": "Done.", "a": 1}])
    with pytest.raises(InputError, match=r"other\.jsonl test changed"):
        verify(str(tmp_path / "m"))


def test_a_shortage_says_what_was_removed_and_ngram_null_keeps_what_is_only_similar(tmp_path):
    stem = "a farmer has many green apples and sells them all at the market for dollars each"
    train = [{"q": f"{stem} {i}?", "s": ["think"], "a": i} for i in range(20)]
    train += [{"q": f"Something else, number {i}?", "s": ["think"], "a": i} for i in range(5)]
    exam = [{"q": f"{stem} 3?", "s": ["-"], "a": 3}]
    write_jsonl(tmp_path / "train.jsonl", train)
    write_jsonl(tmp_path / "test.jsonl", [{"q": "How late is it?", "s": ["-"], "a": 9}])
    raw = {"p_cot": 0.5, "n_train": 12, "n_test": 1, "sources": [{**SOURCE, "path": str(tmp_path)}]}
    raw["against"] = [{**SOURCE, "name": "exam", "path": write_jsonl(tmp_path / "exam.jsonl", exam)}]
    message = r"has \d \(1 the same text as in .*exam.jsonl test, 19 similar to .*exam.jsonl test.*`ngram: null` keeps"
    with pytest.raises(InputError, match=message):
        rows_of(raw)
    report = build(parse_config({**raw, "ngram": None}), str(tmp_path / "m"))["sources"]["mine"]
    assert [overlap["id"] for overlap in report["removed"]] == ["mine/train/3"] and "only the same text" in report["overlap"]
    assert "only the same text is removed (ngram: null)" in show(str(tmp_path / "m"))
    verify(str(tmp_path / "m"))
