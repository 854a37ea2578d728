"""The promise of a mixture: exact, nested, paired, apart, and the same bytes from the same seed."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_mix.config import parse_config
from data_mix.errors import InputError
from data_mix.folder import build, read_rows, show
from data_mix.mixture import apportion, assign_forms, make_rows

shares = st.lists(st.integers(1, 1000), min_size=1, max_size=6).map(lambda w: [x / sum(w) for x in w])


def parity(**changes):
    raw = {"p_cot": 0.25, "n_train": 200, "n_test": 40, "seed": 3, "sources": [{"task": "parity", "d": 12}]}
    return parse_config({**raw, **changes})


@given(total=st.integers(0, 5000), shares=shares)
def test_apportioned_counts_sum_to_the_total_and_are_within_one_of_their_share(total, shares):
    counts = apportion(total, shares)
    assert sum(counts) == total
    assert all(abs(count - total * share) < 1 + 1e-6 for count, share in zip(counts, shares, strict=True))


@given(total=st.integers(0, 5000), percent=st.integers(0, 100))
def test_long_rows_are_python_s_round_of_p_cot_times_n(total, percent):
    p_cot = percent / 100
    assert apportion(total, [p_cot, 1 - p_cot])[0] == round(percent * total / 100)


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    seed=st.integers(0, 99),
    p=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_long_rows_are_exact_in_number_and_nested_over_several_sources(sizes, seed, p):
    small, large = sorted(p)
    few, many = (assign_forms(sizes, {"long": q, "short": 1 - q}, seed) for q in (small, large))
    n_long = sum(forms.count("long") for forms in few)
    assert abs(n_long - small * sum(sizes)) <= 0.5 + 1e-6
    for a, b in zip(few, many, strict=True):
        assert all(y == "long" for x, y in zip(a, b, strict=True) if x == "long")


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 400), p=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_parity_mixtures_are_paired_over_p_cot(seed, n, p):
    (a, test_a), (b, test_b) = (make_rows(parity(seed=seed, n_train=n, p_cot=q)) for q in sorted(p))
    assert len(a) == n
    assert [row["prompt"] for row in a] == [row["prompt"] for row in b]
    assert test_a == test_b
    assert {r["problem_id"] for r in a if r["form"] == "long"} <= {r["problem_id"] for r in b if r["form"] == "long"}
    assert not {r["problem_id"] for r in a} & {r["problem_id"] for r in test_a}


def test_p_cot_zero_and_one_are_ordinary_values():
    assert {row["form"] for row in make_rows(parity(p_cot=0))[0]} == {"short"}
    assert {row["form"] for row in make_rows(parity(p_cot=1))[0]} == {"long"}


def test_every_form_has_its_share():
    rows, _ = make_rows(
        parse_config(
            {
                "forms": {"long": 0.1, "partial-2": 0.3, "short": 0.6},
                "n_train": 100,
                "n_test": 1,
                "sources": [{"task": "parity", "d": 12}],
            }
        )
    )
    assert [sum(row["form"] == form for row in rows) for form in ("long", "partial-2", "short")] == [10, 30, 60]


def test_more_problems_than_exist_is_an_error_that_says_how_many():
    with pytest.raises(InputError, match="only 16 exist"):
        make_rows(parity(sources=[{"task": "parity", "d": 4}], n_train=10, n_test=7))


def test_all_problems_can_be_used():
    train, test = make_rows(parity(sources=[{"task": "parity", "d": 4}], n_train=10, n_test=6))
    assert len({row["prompt"] for row in train + test}) == 16


def test_a_folder_is_the_same_to_the_byte_and_says_what_it_holds(tmp_path, command):
    manifest = build(parity(), str(tmp_path / "a"))
    config = tmp_path / "mixture.yaml"
    config.write_text("{p_cot: 0.25, n_train: 200, n_test: 40, seed: 3, sources: [{task: parity, d: 12}]}")
    command("-m", "data_mix", "build", config, "--out", tmp_path / "b", PYTHONHASHSEED="7")
    for name in ("train.parquet", "test.parquet", "manifest.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert {c["form"]: c["rows"] for c in manifest["counts"]} == {"long": 50, "short": 150}
    assert manifest["rows"] == {"train": 200, "test": 40}
    assert read_rows(str(tmp_path / "a"), "train")[0]["meta"]["style"] == "parity"
    shown = show(str(tmp_path / "a"))
    assert "200 train rows" in shown and "--- long" in shown and "--- short" in shown


def test_build_never_touches_a_folder_that_exists(tmp_path):
    (tmp_path / "precious").write_text("1")
    with pytest.raises(InputError, match="exists already"):
        build(parity(), str(tmp_path))
    assert (tmp_path / "precious").read_text() == "1"


def test_trl_reads_the_rows_as_they_are(tmp_path):
    from datasets import load_dataset

    build(parity(prompt_format="chat", system="Be brief."), str(tmp_path / "m"))
    row = load_dataset("parquet", data_files=str(tmp_path / "m" / "train.parquet"), split="train", cache_dir=str(tmp_path))[0]
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    assert row["completion"][0]["role"] == "assistant"
    assert json.loads(row["meta"])["style"] == "parity"
