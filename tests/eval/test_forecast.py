"""The STaR forecast: the recursion, the threshold for greedy decoding, and the forecast of an eval folder."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_mix.errors import InputError
from eval.scoring.eval_folder import write_folder
from eval.scoring.forecast import find_flip, forecast, format_forecast, mean_error, next_p_long, read_measured

INFO = {"model": "m", "temperature": 1.0, "seed": 0, "max_tokens": 8}


def rows(*completions):
    """Parity of 1101, long form 1001; one problem per tuple of samples."""
    meta = json.dumps({"style": "parity", "long": "1001"})
    shared = {"source": "parity", "prompt": "1101=", "answer": "1", "meta": meta, "truncated": False}
    return [
        {**shared, "problem_id": f"p{i}", "sample": k, "completion": text, "n_tokens": len(text)}
        for i, samples in enumerate(completions)
        for k, text in enumerate(samples)
    ]


@given(st.floats(0.001, 0.999), st.floats(0.01, 1), st.floats(0.01, 1))
def test_selection_favours_the_more_accurate_form(p, a_long, a_short):
    after = next_p_long(p, a_long, a_short)
    assert 0 < after <= 1 and (after - p) * (a_long - a_short) >= -1e-12


def test_perfect_long_and_guessed_short_completions_give_the_paper_s_recursion():
    assert next_p_long(0.25, 1.0, 0.5) == pytest.approx(2 * 0.25 / 1.25)
    assert next_p_long(0.25, 0.0, 0.0) == 0.25  # nothing kept, nothing learned


def test_the_forecast_of_an_eval_folder(tmp_path, command):
    write_folder(str(tmp_path / "e"), rows(*[("1001", "1", "0", "1")] * 10), INFO)
    result = forecast(str(tmp_path / "e"), 2)
    assert result["p_long"][0] == 0.25 and result["a_long"] == 1 and result["a_short"] == pytest.approx(2 / 3)
    assert result["p_long"][1] == pytest.approx(0.25 / (0.25 + 0.75 * 2 / 3)) and result["mixed"] == 1
    assert result["flips_at"] == pytest.approx(0.4)  # two of three short completions start like the long one: (2/3) / (5/3)
    (tmp_path / "star").mkdir()
    log = [{"step": i, "heldout/sampled/p_long": p} for i, p in enumerate((0.25, 0.35))]
    (tmp_path / "star" / "log.jsonl").write_text("\n".join(map(json.dumps, log)))
    measured = read_measured(str(tmp_path / "star"))
    assert mean_error(result["p_long"], measured) == pytest.approx(abs(result["p_long"][1] - 0.35))
    said = command("-m", "eval", "forecast", tmp_path / "e", "--rounds", 2, "--measured", tmp_path / "star").stdout
    assert said.strip() == format_forecast(result, measured) and "RL is worth starting: yes" in said
    assert "nan" not in format_forecast(forecast(str(tmp_path / "e"), 0), measured)


def test_forms_that_start_with_different_words_diverge_there():
    long = [{"problem_id": "a", "completion": text} for text in ("He has 2", "He buys 3", "She has 1", "He is 4")]
    short = [{"problem_id": "a", "completion": "#### 2"}]
    assert find_flip(long, short) == pytest.approx(1 / (1 + 3 / 6))


@pytest.mark.parametrize(
    ("texts", "info", "said"), [(("1001", "1"), {"temperature": 0.0}, "greedy"), (("1", "0"), {}, "no completion is long")]
)
def test_an_eval_with_only_one_form_is_an_error(tmp_path, texts, info, said):
    write_folder(str(tmp_path / "e"), rows(texts), {**INFO, **info})
    with pytest.raises(InputError, match=said):
        forecast(str(tmp_path / "e"), 2)
