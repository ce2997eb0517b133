"""Surrogates against scikit-learn, and on problems whose answer is known."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge, lars_path

from keras_explain.lime import surrogate
from keras_explain.lime.surrogate import SURROGATES, Regression, measure_fit

TRUE = np.array([0.5, 0, -2.0, 0, 0, 0.75, 0, 0, 0.02, 0])


def problem(num_features=None, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 2, (300, 10)).astype(float)
    weights = rng.uniform(0.2, 1, 300)
    scores = 0.3 + features @ TRUE + noise * rng.normal(size=300)
    names = tuple("abcdefghij")
    return Regression(features, scores, weights / weights.mean(), names, num_features)


@pytest.mark.parametrize("name", ["k_lasso", "forward_selection", "highest_weights", "ridge"])
def test_a_linear_score_is_recovered(name):
    fit = SURROGATES[name](problem())
    assert np.allclose(fit.weights, TRUE, atol=3e-3)
    assert abs(fit.intercept - 0.3) < 3e-3


@pytest.mark.parametrize("name", ["k_lasso", "forward_selection", "highest_weights"])
def test_the_k_strongest_features_are_chosen(name):
    fit = SURROGATES[name](problem(3, noise=0.1))
    assert set(np.flatnonzero(fit.weights)) == {0, 2, 5}


def test_linear_is_scikit_learns_ridge():
    p = problem(noise=1.0)
    penalty = 0.3 * np.trace(p.gram) / 10
    expected = Ridge(alpha=penalty).fit(p.features, p.scores, sample_weight=p.sample_weights)
    fit = surrogate.Ridge(alpha=0.3)(p)
    assert np.allclose(fit.weights, expected.coef_)
    assert np.isclose(fit.intercept, expected.intercept_)


def test_k_lasso_is_the_papers_algorithm():
    """Features from scikit-learn's lars_path on the weighted samples, then least squares."""
    for k in range(1, 10):
        p = problem(k, noise=1.5, seed=k)
        root = np.sqrt(p.sample_weights)
        centered = p.features - np.average(p.features, axis=0, weights=p.sample_weights)
        target = p.scores - np.average(p.scores, weights=p.sample_weights)
        _, _, path = lars_path(centered * root[:, None], target * root, method="lasso")
        sizes = np.count_nonzero(path, axis=0)
        chosen = np.flatnonzero(path[:, np.flatnonzero(sizes <= k)[-1]])
        model = LinearRegression().fit(p.features[:, chosen], p.scores, p.sample_weights)
        fit = surrogate.KLasso()(p)
        assert np.array_equal(np.flatnonzero(fit.weights), chosen)
        assert np.allclose(fit.weights[chosen], model.coef_)


def test_forward_selection_is_the_greedy_search():
    """One regression per candidate, as `lime` does it."""
    p = problem(4, noise=2.0, seed=3)
    chosen = []
    for _ in range(4):
        gains = {}
        for j in set(range(10)) - set(chosen):
            columns = p.features[:, [*chosen, j]]
            model = LinearRegression().fit(columns, p.scores, p.sample_weights)
            gains[j] = model.score(columns, p.scores, p.sample_weights)
        chosen.append(max(gains, key=gains.get))
    fit = surrogate.ForwardSelection()(p)
    assert set(np.flatnonzero(fit.weights)) == set(chosen)


@pytest.mark.parametrize("name", ["k_lasso", "forward_selection", "highest_weights", "ridge"])
def test_more_features_than_samples_and_constant_features(name):
    rng = np.random.default_rng(0)
    features = rng.integers(0, 2, (12, 40)).astype(float)
    features[:, 3] = 1
    k = None if name == "ridge" else 5
    fit = SURROGATES[name](Regression(features, rng.random(12), np.ones(12), ("x",) * 40, k))
    assert np.isfinite(fit.weights).all()
    assert np.count_nonzero(fit.weights) <= (k or 40)


def test_tree_finds_what_counts_only_together():
    rng = np.random.default_rng(0)
    features = rng.integers(0, 2, (400, 5)).astype(float)
    scores = features[:, 1] * features[:, 4]
    p = Regression(features, scores, np.ones(400), ("a", "b", "c", "d", "e"), 3)
    fit = SURROGATES["decision_tree"](p)
    assert np.allclose(fit(features), scores)
    assert set(np.flatnonzero(fit.weights)) == {1, 4}
    assert np.allclose(fit.weights[[1, 4]], 0.5, atol=0.06)  # each counts when the other is there
    assert "b <= 0.5" in fit.rules.replace("0.500", "0.5") and fit.intercept == 0
    linear = SURROGATES["ridge"](p)
    assert measure_fit(scores, linear(features), np.ones(400)) < 0.8


def test_measure_fit_by_hand():
    scores, weights = np.array([0.0, 1, 2]), np.array([1.0, 2, 1])
    assert np.isclose(measure_fit(scores, np.array([0.0, 1, 1]), weights), 1 - 0.25 / 0.5)
    assert measure_fit(np.ones(3), np.ones(3), weights) == 1.0
    assert measure_fit(scores, scores, np.zeros(3)) == 1.0
