"""Broken mixtures, own data, mixture folders and completions: exit code 2, one line that names the file or the field."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_mix.rows import COLUMNS
from tests.test_broken_input import BUILD, BYTES, RECORDS, ROWS, RUN, good, mixture, own, refused  # noqa: F401 (two fixtures)

SHOW, VERIFY = "data_mix show good/mixture", "data_mix verify good/mixture"
SCORE, AUDIT = "rewards score in.jsonl out.jsonl", "rewards audit x.parquet"
MANIFEST, TRAIN, TEST = (f"good/mixture/{name}" for name in ("manifest.json", "train.parquet", "test.parquet"))
LINE = {"in.jsonl": '{"completion": "1", "gold": "1"}\n'}
THREE = {"q": ["a", "b", "c"], "s": ["x", "y", "z"], "a": ["1", "2", "3"]}
ROW = {name: ["01"] for name in COLUMNS} | {"meta": ['{"style": "parity"}']}
COMPLETION = {"problem_id": ["p"], "completion": ["1"], "answer": ["1"], "meta": ['{"style": "gsm8k"}'], "truncated": [False]}
NONE = pa.array([None], pa.string())


def parquet(columns: dict | pa.Table) -> bytes:
    """A parquet file."""
    file = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), file)
    return file.getvalue()


def own_parquet(columns: dict | pa.Table) -> dict[str, str | bytes]:
    """A mixture of own records in parquet."""
    return own("", source={"path": "mine.parquet"}) | {"mine.parquet": parquet(columns)}


def svamp(equation: str, answer: str) -> dict[str, str]:
    """A mixture of one record of SVAMP."""
    row = {"Body": "b", "Question": "q", "Equation": equation, "Answer": answer}
    return mixture(sources=[{"task": "svamp", "path": "mine.jsonl"}]) | {"mine.jsonl": json.dumps(row)}


def completions(**columns) -> dict[str, bytes]:
    """A file of one completion, changed."""
    return {"x.parquet": parquet(COMPLETION | columns)}


# command, files beside it, words of the one line; as in tests/test_broken_input.py
CASES = {
    # ---- mixtures: the config
    "a long name for a config": (f"data_mix build {'a' * 300} --out new", {}, ["aaa", "no such file"]),
    "a field that is a number": (BUILD, mixture() | {"mixture.yaml": "3: 4\n"}, ["mixture.yaml", "'3'"]),
    "no such date": (BUILD, {"mixture.yaml": "seed: 2020-99-99\n"}, ["mixture.yaml", "not YAML"]),
    "a form that is a number": (BUILD, mixture(p_cot=None, forms={3: 1.0}), ["forms", "'3'"]),
    "a template that is a number": (BUILD, mixture(prompt_template=3), ["prompt_template", "3"]),
    "a system message that is a list": (BUILD, mixture(system=["x"], prompt_format="chat"), ["system", "['x']"]),
    "a system message for plain prompts": (BUILD, mixture(system="Be brief."), ["system", "prompt_format"]),
    "a system message that is not text": (BUILD, mixture(system="\ud800", prompt_format="chat"), ["system", "surrogate"]),
    "an answer style for bits": (BUILD, mixture(answer_style="boxed"), ["answer_style", "boxed", "parity"]),
    "an option that is a number": (BUILD, mixture(sources=[{"task": "parity", "d": 8, 3: 4}]), ["sources[0]", "'3'"]),
    "too many bits": (BUILD, mixture(sources=[{"task": "parity", "d": 10_001}]), ["d", "10001"]),
    "digits that are true": (BUILD, mixture(sources=[{"task": "multiplication", "n": True, "m": 3}]), ["n is True"]),
    "no templates": (BUILD, mixture(sources=[{"task": "gsm_symbolic", "templates": []}]), ["templates", "[]"]),
    "a template number that is true": (BUILD, mixture(sources=[{"task": "gsm_symbolic", "templates": [True]}]), ["True"]),
    "a switch in words": (
        BUILD, mixture(sources=[{"task": "gsm8k", "path": "good", "calculator": "no"}]), ["sources[0].calculator", "no"],
    ),
    "a share of an evaluation set": (BUILD, mixture(against=[RECORDS | {"share": 0.5}]), ["against[0].share"]),
    "a tokenizer that is a number": (BUILD, mixture(tokenizer=3), ["tokenizer", "3"]),
    "another file for a tokenizer": (
        BUILD, mixture(tokenizer="good/model") | {"good/model/tokenizer.json": "{}"}, ["tokenizer", "good/model"],
    ),
    "--set of half a list": (BUILD + " --set seed=[", mixture(), ["--set seed=[", "not YAML"]),
    "--set of no date": (BUILD + " --set seed=2020-99-99", mixture(), ["--set seed=2020-99-99", "not YAML"]),
    "--set of a word": (BUILD + " --set seed=x", mixture(), ["mixture.yaml with --set seed=x", "seed"]),
    "--set twice": (BUILD + " --set seed=1 p_cot=0.1 seed=2", mixture(), ["--set seed", "twice"]),
    # ---- mixtures: own data
    "no path": (BUILD, own(ROWS, source={"path": ""}), ["sources[0].path", "''"]),
    "a path that is too long": (BUILD, own(ROWS, source={"path": "a" * 300}), ["path 'aaa"]),
    "the home of a stranger": (BUILD, own(ROWS, source={"path": "~stranger/x"}), ["path '~stranger/x'"]),
    "a name of two lines": (BUILD, own(ROWS, source={"name": "a\nb"}), ["sources[0].name"]),
    "no records": (BUILD, own(""), ["mine", "add problems"]),
    "one record four times": (BUILD, own(ROWS[:1] * 4), ["mine", "add problems"]),
    "a column that is not there, in advice": (
        BUILD, own(ROWS, source={"answer": "aa"}, on_error="drop"), ["mine.jsonl", "aa", "names of its columns"],
    ),
    "two columns of one name": (
        BUILD, own_parquet(pa.table([[name] * 3 for name in "abcd"], names=list("qsaq"))), ["mine.parquet", "'q'"],
    ),
    "text that is not UTF-8": (
        BUILD, own_parquet(THREE | {"q": pa.array([b"a", b"\xff", b"c"]).view(pa.string())}), ["mine.parquet", "utf-8"],
    ),
    "a time out of range": (BUILD, own_parquet(THREE | {"t": pa.array([2**50] * 3, pa.timestamp("s"))}), ["mine.parquet"]),
    "a split in two files": (
        BUILD,
        own(ROWS, source={"path": "good/empty"}) | {"good/empty/train.jsonl": "{}", "good/empty/train.parquet": parquet(THREE)},
        ["good/empty", "train.jsonl", "train.parquet"],
    ),
    "an infinite equation": (BUILD, svamp("1e999 + 1", "1"), ["mine.jsonl:1", "`Equation`"]),
    "an equation over the range of numbers": (BUILD, svamp("1e300 * 1e300 / 7", "1"), ["mine.jsonl:1", "`Equation`"]),
    "an answer that divides by zero": (BUILD, svamp("1 + 1", "1/0"), ["mine.jsonl:1", "`Answer`"]),
    # ---- mixtures: folders
    "show: a long name": ("data_mix show " + "a" * 300, {}, ["aaa", "not a mixture"]),
    "show: a deep manifest": (SHOW, {MANIFEST: "[" * 100_000}, ["manifest.json"]),
    "show: counts that are a number": (SHOW, {MANIFEST: {"counts": 3}}, ["manifest"]),
    "show: rows that are a number": (SHOW, {MANIFEST: {"rows": 3}}, ["manifest"]),
    "show: no train rows": (SHOW, {MANIFEST: {"rows": {"train": 0, "test": 1}}}, ["manifest.json"]),
    "show: a source without fields": (SHOW, {MANIFEST: {"sources": {"parity": {}}}}, ["manifest.json"]),
    "show: prompts that are numbers": (SHOW, {TRAIN: parquet(ROW | {"prompt": [1]})}, ["train.parquet", "prompt"]),
    "show: no messages": (
        SHOW,
        {TRAIN: parquet(ROW | {"completion": pa.array([[]], pa.list_(pa.string()))})},
        ["train.parquet", "completion"],
    ),
    "diff: versions that are a number": (
        "data_mix diff good/mixture good/mixture", {MANIFEST: {"versions": 3}}, ["good/mixture/manifest.json"],
    ),
    "verify: a config that is a number": (VERIFY, {MANIFEST: {"config": 3}}, ["good/mixture/manifest.json"]),
    "verify: another config": (VERIFY, {MANIFEST: {"config": {"foo": 3}}}, ["manifest.json", "foo"]),
    "verify: versions that are a number": (VERIFY, {MANIFEST: {"versions": 3}}, ["good/mixture/manifest.json"]),
    "run: a mixture without rows": (RUN, {TEST: parquet(pa.table(ROW).slice(0, 0))}, ["test.parquet", "no rows"]),
    "run: broken meta": (RUN, {TEST: parquet(ROW | {"meta": ["{"]})}, ["test.parquet", "meta"]),
    "run: answers that are missing": (RUN, {TEST: parquet(ROW | {"answer": NONE})}, ["test.parquet", "answer"]),
    # ---- rewards
    "score: a file for the folder": (
        "rewards score in.jsonl good/file/out.jsonl", LINE,
        ["good/file/out.jsonl cannot be written"],
    ),
    "score: a folder for the input": ("rewards score good out.jsonl", {}, ["good cannot be read", "directory"]),
    "score: a deadline that is NaN": ("rewards score in.jsonl out.jsonl --deadline nan", LINE, ["--deadline"]),
    "audit: no file": ("rewards audit no.parquet", {}, ["no.parquet", "cannot be read"]),
    "audit: a folder": ("rewards audit good/empty", {}, ["good/empty", "cannot be read"]),
    "audit: random bytes": (AUDIT, {"x.parquet": BYTES}, ["x.parquet", "cannot be read"]),
    "audit: a mixture": ("rewards audit good/mixture/train.parquet", {}, ["train.parquet", "truncated"]),
    "audit: no meta": (AUDIT, completions(meta=NONE), ["x.parquet"]),
    "audit: meta that is no JSON": (AUDIT, completions(meta=["{"]), ["x.parquet"]),
    "audit: meta without a style": (AUDIT, completions(meta=["{}"]), ["row 1"]),
    "audit: a number": (AUDIT, completions(completion=[3]), ["x.parquet", "row 1"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_line_and_nothing_written(refused, case):  # noqa: F811
    refused(*CASES[case])
