"""Invalid configs give a one-line error with the field, its value and what is allowed; exit code 2, nothing written."""

import pytest

from data_mix.errors import InputError
from data_mix.mixture_config import load_config, parse_config, raw_config

GOOD = {"p_cot": 0.25, "n_train": 10, "n_test": 2, "sources": [{"task": "parity", "d": 8}]}
TWO = [{"task": "parity", "d": 8, "share": 0.5}, {"task": "gsm_symbolic", "share": 0.4}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p_cto": 0.3}, "unknown field 'p_cto'; did you mean 'p_cot'?"),
        ({"p_cot": 1.2}, "p_cot is 1.2; it must be a number from 0 to 1"),
        ({"p_cot": "half"}, "p_cot is 'half'"),
        ({"p_cot": True}, "p_cot is True"),
        ({"n_train": 0}, "n_train is 0; it must be an integer of at least 1"),
        ({"n_test": 1.5}, "n_test is 1.5"),
        ({"seed": -1}, "seed is -1"),
        ({"sources": TWO}, "shares of sources sum to 0.9 (0.5 + 0.4); they must sum to 1"),
        ({"sources": []}, "sources must be a list"),
        (
            {"sources": [{"task": "gsm9k"}]},
            "gsm_symbolic, gsm8k, math, svamp, records; did you mean 'gsm8k'?",
        ),
        ({"sources": [{"task": "parity", "depth": 8}]}, "unknown field 'depth'"),
        ({"forms": {"long": 1}}, "give either p_cot"),
        ({"p_cot": None}, "give either p_cot"),
        ({"prompt_format": "xml"}, "prompt_format is 'xml'; it must be one of plain, chat"),
        ({"prompt_template": "Question:"}, "it must contain {prompt} once"),
        ({"prompt_template": "{prompt} {prompt}"}, "it must contain {prompt} once"),
        ({"sources": [{"task": "parity"}]}, "sources[0] (parity): field 'd' is missing"),
        ({"sources": [{"task": "math", "path": 3}]}, "sources[0].path is 3; it must be a string"),
        (
            {"sources": [{"task": "records", "path": "m.jsonl", "name": "m", "solution": "s", "question": ["q"]}]},
            "sources[0].question is ['q']; it must be a string",
        ),
        ({"sources": [{"task": "parity", "d": 8, "share": 0.5}] * 2}, "sources[1]: duplicate source 'parity'"),
        ({"unit": "words"}, "unit is 'words'; it must be one of rows, tokens"),
        ({"unit": "tokens"}, "tokenizer must be given"),
        ({"max_tokens": 100}, "tokenizer must be given"),
        ({"max_repeats": 0}, "max_repeats is 0"),
        ({"on_error": "ignore"}, "on_error is 'ignore'; it must be one of refuse, drop"),
        ({"against": [{"task": "parity", "d": 3}]}, "parity is generated; an evaluation set must consist of records"),
        ({"against": {"task": "math"}}, "against must be a list"),
    ],
)
def test_an_invalid_field_is_a_one_line_error(change, message):
    with pytest.raises(InputError) as error:
        parse_config({**GOOD, **change})
    assert message in str(error.value) and "\n" not in str(error.value)


def test_shares_of_forms_must_sum_to_one():
    raw = {key: value for key, value in GOOD.items() if key != "p_cot"}
    with pytest.raises(InputError, match="shares of forms sum to 0.8"):
        parse_config({**raw, "forms": {"long": 0.3, "short": 0.5}})


def test_raw_config_is_the_inverse_of_parse_config():
    raw = {**GOOD, "against": [{"task": "math", "path": "m"}], "system": "Be brief.", "prompt_format": "chat"}
    raw["ngram"] = 9
    assert parse_config(raw_config(parse_config(raw))) == parse_config(raw)


def test_overrides_can_be_nested_and_p_cot_replaces_forms(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text("{forms: {long: 1}, n_train: 10, n_test: 2, sources: [{task: parity, d: 8}]}")
    config = load_config(str(path), ["p_cot=0.5", "sources.0.d=9", "seed=4"])
    assert config.forms == {"long": 0.5, "short": 0.5}
    assert config.sources[0].options == {"d": 9} and config.seed == 4
    config = load_config(
        str(path), ["p_cot=5e-05", "prompt_format=chat", 'system="\\ud83e\\udde0"']
    )  # as `launch ablate` writes them
    assert config.forms["long"] == 5e-5 and config.system == "🧠"


def test_null_unsets_a_field():
    raw = {"p_cot": 0.25, "n_train": 10, "n_test": 2, "sources": [{"task": "parity", "d": 8}]}
    assert parse_config({**raw, "p_cot": None, "forms": {"long": 1.0}}).forms == {"long": 1.0}
