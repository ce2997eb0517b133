"""Permutation importance and accumulated effects against their closed forms."""

import numpy as np
import pytest

import keras_explain as kx
from keras_explain.lime import Predictor, Table
from keras_explain.tables import accumulated_effects, permutation_importance

RNG = np.random.default_rng(0)
Z = RNG.normal(size=4000)
DATA = np.column_stack([Z, Z + 0.1 * RNG.normal(size=4000), RNG.normal(size=4000)])


def test_importance_of_a_linear_model():
    """Twice the variance of what a column adds to the score, in its interval."""
    weights, noise = np.array([2.0, 0.0, -0.5]), RNG.normal(size=4000)
    model = Predictor(lambda rows: rows @ weights, binary=False)
    found = permutation_importance(model, DATA, DATA @ weights + noise, verbose=0)
    wanted = 2 * weights**2 * DATA.var(axis=0)
    assert (np.abs(found.means - wanted) <= 2.5 * found.errors).all()
    assert (found.intervals[:, 0] <= found.means).all() and found.means[1] == 0
    np.testing.assert_allclose(found.loss, (noise**2).mean())
    np.testing.assert_array_equal(found.order(), [0, 2, 1])
    again = permutation_importance(model, DATA, DATA @ weights + noise, verbose=0, batch_size=999)
    np.testing.assert_array_equal(again.means, found.means)
    axes = kx.plots.importance(found).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["0", "2", "1"]


def test_intervals_hold_the_truth_as_often_as_they_say():
    inside = 0
    for seed in range(60):
        rows = np.random.default_rng(seed).normal(size=(200, 1))
        found = permutation_importance(
            Predictor(lambda r: 2 * r[:, 0], binary=False), rows, 2 * rows[:, 0], repeats=20,
            seed=seed, verbose=0)
        inside += found.intervals[0, 0] <= 8.0 <= found.intervals[0, 1]
    assert inside >= 51  # of 60; rows are few and their squares are skewed


def test_importance_of_classes_and_groups():
    """One-hot columns are shuffled together: no row is of two colors."""
    hot = np.eye(3)[RNG.integers(0, 3, 300)]
    seen = []

    def predict(rows):
        seen.append(rows)
        return np.where(rows[:, :1] > 0, [[0.9, 0.1]], [[0.1, 0.9]])

    table = Table(np.column_stack([hot, RNG.normal(size=300)]), ["r", "g", "b", "x"],
                  groups={"color": ["r", "g", "b"]})
    y = (hot[:, 0] == 0).astype(int)
    found = permutation_importance(predict, table, y, verbose=0)
    assert found.names == ("color", "x") and found.means[1] == 0
    share = 2 * y.mean() * (1 - y.mean())  # of rows that get another answer
    np.testing.assert_allclose(found.means[0], share * np.log(9), rtol=0.1)
    np.testing.assert_allclose(found.loss, -np.log(0.9))
    assert (np.concatenate(seen)[:, :3].sum(axis=1) == 1).all()
    own = permutation_importance(predict, table, y, loss=lambda y, p: p.argmax(1) != y, verbose=0)
    np.testing.assert_allclose(own.means[0], share, rtol=0.1)


def test_effects_of_a_linear_model_with_columns_that_go_together():
    """Where two columns are nearly one, each has its own slope, which marginals mix up."""
    predict = Predictor(lambda rows: 3 * rows[:, 0] - rows[:, 1], binary=False)
    for column, slope in (("0", 3.0), (1, -1.0), ("2", 0.0)):
        found = accumulated_effects(predict, DATA, column)
        np.testing.assert_allclose(np.diff(found.effects) / np.diff(found.edges), slope, atol=1e-6)
        at = np.interp(found.values, found.edges, found.effects)
        assert abs(at.mean()) < 0.1 and found.counts.sum() == 4000


def test_effects_of_a_curve_and_of_a_product():
    """Closed forms: x ** 2, and of x * z with z = x the half of it for each."""
    x = RNG.uniform(-2, 2, 5000)
    square = Predictor(lambda rows: rows[:, 0] ** 2, binary=False)
    found = accumulated_effects(square, x[:, None], 0, bins=40)
    np.testing.assert_allclose(found.effects, found.edges**2 - (x**2).mean(), atol=0.02)
    product = Predictor(lambda rows: rows[:, 0] * rows[:, 1], binary=False)
    found = accumulated_effects(product, np.column_stack([x, x]), 0, bins=40)
    np.testing.assert_allclose(found.effects, (found.edges**2 - (x**2).mean()) / 2, atol=0.03)
    line = kx.plots.effects(found).axes[0].lines[0]
    np.testing.assert_array_equal(line.get_ydata(), found.effects)


@pytest.mark.parametrize("words, run", [
    ("each of the 4000 rows", lambda f: permutation_importance(f, DATA, np.ones(3))),
    ("classes from 0 to 1", lambda f: permutation_importance(f, DATA, DATA[:, 0], verbose=0)),
    (r"shape \(4000,\)", lambda f: permutation_importance(
        f, DATA, DATA[:, 0], loss=lambda y, s: 1.0, verbose=0)),
    ("received 'hue'", lambda f: accumulated_effects(f, DATA, "hue")),
    ("from 0 to 1, received 2", lambda f: accumulated_effects(f, DATA, 0, target=2)),
    ("without an order", lambda f: accumulated_effects(
        f, Table(DATA.round(), categorical=[0]), 0)),
    ("different values", lambda f: accumulated_effects(f, DATA * 0, 0)),
])
def test_errors(words, run):
    with pytest.raises(ValueError, match=words):
        run(lambda rows: np.full((len(rows), 2), 0.5))
