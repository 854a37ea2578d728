"""Mixtures are exact, nested, paired, disjoint from their test set, and reproducible from the seed."""

import collections
import json

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_mix.errors import InputError
from data_mix.mixture_config import parse_config
from data_mix.mixture_folder import build
from data_mix.plan import apportion
from tests.data_mix.helpers import rows_of, write_jsonl

PARITY = {"p_cot": 0.25, "n_train": 200, "n_test": 40, "seed": 3, "sources": [{"task": "parity", "d": 12}]}
SOURCES = (
    {"task": "parity", "d": 10},
    {"task": "parity", "d": 11},
    {"task": "multiplication", "n": 2, "m": 2},
    {"task": "gsm_symbolic", "templates": [10, 57]},
    {"task": "records", "name": "mine", "question": "q", "steps": "s", "answer": "a"},
)


def counts(rows):
    return collections.Counter((row["source"], row["form"]) for row in rows)


@st.composite
def configs(draw):
    """Random sources, forms, shares and sizes; the path of the records source is filled in by the test."""
    weights = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(any))
    sources = draw(st.permutations(SOURCES))[: len(weights)]
    forms = draw(st.lists(st.sampled_from(["partial-2", "partial-3", "short"]), min_size=1, unique=True))
    rest = draw(st.lists(st.integers(1, 9), min_size=len(forms), max_size=len(forms)))
    p_cot = draw(st.sampled_from([0, 1]) | st.floats(0, 1))
    return {
        "sources": [{**s, "share": w / sum(weights)} for s, w in zip(sources, weights, strict=True)],
        "forms": {"long": p_cot, **{form: (1 - p_cot) * w / sum(rest) for form, w in zip(forms, rest, strict=True)}},
        "n_train": draw(st.integers(1, 150)),
        "n_test": draw(st.integers(1, 30)),
        "seed": draw(st.integers(0, 2**31)),
        "prompt_format": draw(st.sampled_from(["plain", "chat"])),
    }


def test_200_random_mixtures_are_exact_nested_paired_disjoint_and_reproducible(tmp_path, command):
    records = [{"q": f"Question {i} about {i * 7}?", "s": [f"step {k} of {i}" for k in range(4)], "a": i} for i in range(200)]
    path = write_jsonl(tmp_path / "mine.jsonl", records)
    built = []

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(raw=configs(), other=st.floats(0, 1))
    def check(raw, other):
        for source in raw["sources"]:
            source |= {"path": path} if source["task"] == "records" else {}
        folder = tmp_path / f"m{len(built)}"
        built.append((raw, build(parse_config(raw), str(folder))["sha256"]))
        train, test = (pq.read_table(folder / f"{split}.parquet").to_pylist() for split in ("train", "test"))

        assert len(train) == raw["n_train"] and len(test) == raw["n_test"]
        by_source = [apportion(raw["n_train"], [s["share"] for s in raw["sources"]])]
        assert sorted(n for n in by_source[0] if n) == sorted(collections.Counter(_source_of(row) for row in train).values())
        by_form = dict(zip(raw["forms"], apportion(raw["n_train"], list(raw["forms"].values())), strict=True))
        assert collections.Counter(row["form"] for row in train) == {form: n for form, n in by_form.items() if n}
        ids = {row["problem_id"] for row in train}
        assert len(ids) == len(train) and not ids & {row["problem_id"] for row in test}
        assert not {str(row["prompt"]) for row in train} & {str(row["prompt"]) for row in test}

        scale = (1 - other) / (1 - raw["forms"]["long"]) if raw["forms"]["long"] < 1 else 0
        rest = {form: min(share * scale, 1.0) for form, share in raw["forms"].items() if form != "long"}
        if scale == 0:
            rest = dict.fromkeys(rest, (1 - other) / len(rest))
        again, test_again = rows_of({**raw, "forms": {"long": other, **rest}})
        assert [row["prompt"] for row in again] == [row["prompt"] for row in train] and test_again == test
        few, many = sorted((train, again), key=lambda rows: sum(row["form"] == "long" for row in rows))
        assert {r["problem_id"] for r in few if r["form"] == "long"} <= {r["problem_id"] for r in many if r["form"] == "long"}

    check()
    (tmp_path / "configs.json").write_text(json.dumps([raw for raw, _ in built]))
    code = (
        "import json, sys; from data_mix.mixture_config import parse_config; from data_mix.mixture_folder import build\n"
        f"raws = json.load(open({str(tmp_path / 'configs.json')!r}))\n"
        f"again = {str(tmp_path / 'again')!r}\n"
        "print(json.dumps([build(parse_config(raw), again + str(i))['sha256'] for i, raw in enumerate(raws)]))"
    )
    printed = json.loads(command("-c", code, PYTHONHASHSEED="7").stdout)
    assert printed == [digest for _, digest in built] and len(built) >= 200


def _source_of(row):
    """Two parity sources have the same name; the lengths of their ids differ."""
    return row["source"], len(row["problem_id"]) if row["source"] == "parity" else 0


def test_p_cot_zero_and_one_are_valid():
    assert {row["form"] for row in rows_of({**PARITY, "p_cot": 0})[0]} == {"short"}
    assert {row["form"] for row in rows_of({**PARITY, "p_cot": 1})[0]} == {"long"}


def test_test_problems_do_not_depend_on_the_number_of_train_rows():
    assert rows_of({**PARITY, "n_train": 20})[1] == rows_of({**PARITY, "n_train": 300})[1]


def test_requesting_more_problems_than_exist_is_an_error_with_their_number():
    small = {"task": "parity", "d": 4}
    with pytest.raises(InputError, match="only 16 exist"):
        rows_of({**PARITY, "sources": [small], "n_train": 10, "n_test": 7})
    train, test = rows_of({**PARITY, "sources": [small], "n_train": 10, "n_test": 6})
    assert len({row["prompt"] for row in train + test}) == 16


def repeating(tmp_path, **changes):
    path = write_jsonl(
        tmp_path / "few.jsonl", [{"question": f"{i} or {i}?", "solution": f"{i}.", "answer": i} for i in range(30)]
    )
    source = {"task": "records", "name": "few", "path": path, "solution": "solution", "answer": "answer"}
    return {"p_cot": 0.3, "n_train": 50, "n_test": 10, "sources": [source], **changes}


def test_oversampling_repeats_in_epochs_up_to_max_repeats(tmp_path):
    train, test = rows_of(repeating(tmp_path, max_repeats=3))
    times = collections.Counter(row["problem_id"] for row in train)
    assert len(times) == 20 and set(times.values()) == {2, 3} and sum(times.values()) == 50
    assert counts(train) == {("few", "long"): 15, ("few", "short"): 35}
    assert not times.keys() & {row["problem_id"] for row in test}
    with pytest.raises(InputError, match=r"50 rows needed, the source has 20, each at most 2 times; .* `max_repeats: 3`"):
        rows_of(repeating(tmp_path, max_repeats=2))
    with pytest.raises(InputError, match="the source has 20; reduce n_train to at most 20 rows of it, or set `max_repeats: 3`"):
        rows_of(repeating(tmp_path))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A saved character-level tokenizer."""
    from recipes.training.models import character_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    character_tokenizer("".join(map(chr, range(32, 127))) + "\n").save_pretrained(folder)
    return str(folder)


def test_shares_can_refer_to_tokens(tokenizer):
    raw = {**PARITY, "n_train": 4000, "unit": "tokens", "tokenizer": tokenizer}
    rows, _ = rows_of(raw)
    tokens = collections.Counter()
    for row in rows:
        tokens[row["form"]] += len(row["completion"])
    assert len(rows) == 4000 and tokens["long"] / tokens.total() == pytest.approx(0.25, abs=0.005)
    more, _ = rows_of({**raw, "p_cot": 0.5})
    long = [{row["problem_id"] for row in one if row["form"] == "long"} for one in (rows, more)]
    assert long[0] < long[1] and {row["prompt"] for row in rows} == {row["prompt"] for row in more}


def test_problems_over_the_token_limit_are_an_error_or_dropped_whatever_their_form(tmp_path, tokenizer):
    records = [{"question": f"{i}?", "solution": "x" * i, "answer": i} for i in range(10, 60)]
    source = {"task": "records", "name": "r", "path": write_jsonl(tmp_path / "r.jsonl", records)}
    source |= {"solution": "solution", "answer": "answer"}
    raw = {"n_train": 20, "n_test": 2, "sources": [source], "tokenizer": tokenizer, "max_tokens": 50, "prompt_format": "plain"}
    with pytest.raises(InputError, match=r"r: \d+ of 48 problems are over 50 tokens; raise max_tokens"):
        rows_of({**raw, "p_cot": 0.5})
    chosen = [rows_of({**raw, "p_cot": p, "over_limit": "drop"})[0] for p in (0, 1)]
    assert [row["prompt"] for row in chosen[0]] == [row["prompt"] for row in chosen[1]]
    assert max(len(row["prompt"] + row["completion"]) + 1 for row in chosen[1]) <= 50
    with pytest.raises(InputError, match=r"45 rows needed, the source has \d+ \(\d+ over the limit\)"):
        rows_of({**raw, "p_cot": 0.5, "over_limit": "drop", "n_train": 45})


def test_train_is_decontaminated_against_the_sets_in_against(tmp_path):
    raw = repeating(tmp_path, n_train=15)
    held = write_jsonl(tmp_path / "exam.jsonl", [{"question": "7  OR 7 ?", "solution": "7.", "answer": 7}])
    against = [{**raw["sources"][0], "name": "exam", "path": held}]
    manifest = build(parse_config({**raw, "against": against}), str(tmp_path / "m"))
    [overlap] = manifest["sources"]["few"]["removed"] or [None]
    assert overlap["id"] == "few/train/7" and overlap["other"] == "exam/train/0" and overlap["reason"] == "text"
