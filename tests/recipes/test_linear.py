"""The linear model: its gradient, and two predictions of the theory at a small size."""

import json

import numpy as np
import pytest

from recipes.linear import DECAY, ChainModel, crossing, draw_mixture, sigmoid


def loss(model, x, y, is_long):
    """Mean negative log-likelihood of the completions, plus weight decay."""
    total = 0.0
    for inputs, tokens, long in zip(x, y, is_long, strict=True):
        z = np.array([inputs @ model.first, model.stop[0] + tokens[0] * (inputs @ model.stop[1:])])
        total -= np.log(sigmoid(tokens[0] * z[0])) + np.log(sigmoid(-z[1] if long else z[1]))
        for i in range(1, len(tokens) if long else 0):
            total -= np.log(sigmoid(tokens[i] * tokens[i - 1] * (inputs @ model.chain[i - 1])))
    parts = (model.first, model.stop, model.chain)
    return total / len(x) + DECAY / 2 * sum((part**2).sum() for part in parts)


def test_update_follows_the_gradient_of_the_loss():
    rng = np.random.default_rng(0)
    model, batch = ChainModel(4), draw_mixture(rng, 8, 4, 0.5)
    for name in ("first", "stop", "chain"):
        setattr(model, name, rng.normal(size=getattr(model, name).shape))
    before = {name: getattr(model, name).copy() for name in ("first", "stop", "chain")}
    wanted = {}
    for name, value in before.items():
        wanted[name] = np.zeros_like(value)
        for place in np.ndindex(value.shape):
            slopes = []
            for step in (1e-5, -1e-5):
                getattr(model, name)[place] = value[place] + step
                slopes.append(loss(model, *batch))
                getattr(model, name)[place] = value[place]
            wanted[name][place] = (slopes[0] - slopes[1]) / 2e-5
    model.update(*batch, rate=1.0)
    for name, value in before.items():
        np.testing.assert_allclose(value - getattr(model, name), wanted[name], rtol=1e-4, atol=1e-6)


def test_crossing_is_interpolated_between_two_points():
    rows = [{"p_cot": p, "greedy": {"p_long": v}} for p, v in ((0.3, 0.0), (0.32, 0.25), (0.34, 0.75), (0.4, 1.0))]
    assert crossing(rows) == pytest.approx(0.33)
    assert crossing(rows[:2]) is None


def test_greedy_turns_long_at_one_third_and_star_follows_the_recursion(command, tmp_path):
    small = ["--d", 10, "--steps", 1500, "--rounds", 3, "--study", "threshold", "star", "--out", tmp_path]
    said = command("recipes/linear.py", *small).stdout
    results = json.loads((tmp_path / "linear.json").read_text())
    assert "half of the greedy completions are long" in said
    assert crossing(results["threshold"]) == pytest.approx(1 / 3, abs=0.03)
    assert all(abs(row["sampled"]["p_long"] - row["p_cot"]) < 0.03 for row in results["calibration"])
    assert all(abs(row["p_long"] - row["predicted"]) < 0.03 for row in results["star"][1:])
    assert (tmp_path / "linear.png").is_file()
    wrong = command("recipes/linear.py", "--p-cot", 1.5, check=False)
    assert wrong.returncode == 2 and "--p-cot between 0 and 1" in wrong.stderr
