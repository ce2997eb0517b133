"""Shapley values from pairs: against values known by construction, and against least squares."""

import numpy as np
import pytest

from keras_explain.lime import sampling
from keras_explain.lime._odd_part import estimate_from_pairs
from keras_explain.lime.surrogate import Regression, ShapleyRegression


def draw(size, samples, seed=0):
    masks = sampling.shapley(samples, size, np.random.default_rng(seed))
    return np.concatenate([np.ones((1, size)), np.zeros((1, size)), masks])


def plant(size, orders, seed=0):
    """A score made of products of signs, and its Shapley values: 2 / k to each of k features."""
    rng = np.random.default_rng(seed)
    terms = [(rng.choice(size, k, replace=False), rng.normal()) for k in orders]

    def score(masks):
        return sum(c * (2 * masks - 1)[:, chosen].prod(axis=1) for chosen, c in terms)

    values = np.zeros(size)
    for chosen, c in terms:
        if len(chosen) % 2:
            values[chosen] += 2 * c / len(chosen)
    return score, values


def fit_plainly(masks, scores):
    """KernelSHAP's constrained least squares."""
    full, empty = scores[:2]
    root, last = np.sqrt(sampling.weigh_as_shapley(1 - masks)), masks[:, -1]
    table = (masks[:, :-1] - last[:, None]) * root[:, None]
    found = np.linalg.lstsq(table, (scores - empty - last * (full - empty)) * root)[0]
    return np.append(found, full - empty - found.sum())


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_all_pairs_give_what_least_squares_of_all_subsets_gives(size):
    every = sampling.list_subsets(size).astype(float)
    half = every[: len(every) // 2]
    pairs = np.stack([half, 1 - half], axis=1).reshape(-1, size)
    scores = np.random.default_rng(0).normal(size=2**size)  # anything
    seen = {tuple(mask): score for mask, score in zip(every, scores, strict=True)}
    found = estimate_from_pairs(pairs, np.array([seen[tuple(mask)] for mask in pairs]))
    if size > 1:
        weights = sampling.weigh_as_shapley(1 - every)
        exact = ShapleyRegression()(Regression(every, scores, weights / weights.mean())).weights
        assert np.allclose(found, exact, atol=2e-3)  # a part of 1e-3 may be noise
    assert np.isclose(found.sum(), scores[0] - scores[-1])


def test_products_of_one_two_and_three_features_are_found():
    """30 products of 9 features from 240 masks: least squares takes those of three for noise."""
    score, values = plant(9, [1] * 9 + [2] * 9 + [3] * 12)
    masks = draw(9, 240)
    error = np.linalg.norm(estimate_from_pairs(masks, score(masks)) - values)
    assert error < 0.01 * np.linalg.norm(fit_plainly(masks, score(masks)) - values)


@pytest.mark.parametrize("size, samples", [(20, 200), (30, 300)])
def test_products_of_many_features_do_no_harm(size, samples):
    """What cannot be told from so few masks: still nearer than least squares, in each of three."""
    for seed in range(3):
        score, values = plant(size, [1, 2, 3, 5, 7] * size, seed)
        masks = draw(size, samples, seed)
        error = np.linalg.norm(estimate_from_pairs(masks, score(masks)) - values)
        assert error < np.linalg.norm(fit_plainly(masks, score(masks)) - values)


def test_scores_of_pairs_of_features_alone_give_zeros():
    score, _ = plant(8, [2] * 12)
    masks = draw(8, 60)
    assert np.abs(estimate_from_pairs(masks, score(masks))).max() < 1e-9


def test_noise_is_not_taken_for_products():
    score, values = plant(10, [1] * 10)
    masks = draw(10, 400)
    noise = 0.3 * np.random.default_rng(1).normal(size=len(masks))
    error = estimate_from_pairs(masks, score(masks) + noise) - values
    assert np.sqrt(np.mean(error**2)) < 0.1  # 2 * 0.3 / sqrt(400) * 3


def test_blocks_of_pairs_and_thousands_of_features(monkeypatch):
    score, values = plant(12, [1] * 12 + [3] * 4)
    masks = draw(12, 1000)
    plain = np.linalg.norm(fit_plainly(masks, score(masks)) - values)
    monkeypatch.setattr("keras_explain.lime._odd_part._BLOCK", 200)
    found = estimate_from_pairs(masks, score(masks))
    assert np.linalg.norm(found - values) < plain
    wide = draw(3000, 20)
    found = estimate_from_pairs(wide, wide[:, 0])
    assert np.isfinite(found).all() and np.isclose(found.sum(), 1.0)


def test_an_odd_number_of_samples_leaves_the_last_out():
    score, _ = plant(9, [1] * 9 + [3] * 3)
    masks = draw(9, 61)
    fits = [ShapleyRegression()(Regression(m, score(m), np.ones(len(m))))
            for m in (masks, masks[:-1])]
    assert np.array_equal(fits[0].weights, fits[1].weights)
