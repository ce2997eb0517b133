"""Influence is held to training again without each example: ridge and logistic heads by hand."""

import keras
import numpy as np
import pytest

from keras_explain.training_examples import HeadCheckpoint, influence

COUNT, FEATURES, PENALTY = 40, 3, 0.05


def draw(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(COUNT, FEATURES)), rng


def with_one(x):
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def net(weights, end):
    """A last layer of weights (features + 1, classes) on the features as they are."""
    model = keras.Sequential([keras.Input((FEATURES,)),
                              keras.layers.Dense(weights.shape[1], activation=end)])
    model.layers[-1].set_weights([weights[:-1], weights[-1]])
    return model


def fit_ridge(x, y, keep):
    """The minimum of sum(keep * (z - y)**2) + COUNT * PENALTY * |kernel|**2."""
    rows, only = with_one(x), np.diag([1.0] * FEATURES + [0.0])
    return np.linalg.solve((rows * keep[:, None]).T @ rows + COUNT * PENALTY * only,
                           (rows * keep[:, None]).T @ y)[:, None]


def fit_logistic(x, y, keep, classes, start=None):
    """Newton's method on the softmax or sigmoid cross-entropy, by hand: until it rests, or one step
    from weights `start`.
    """
    rows = with_one(x)
    weights = np.zeros((classes, FEATURES + 1)) if start is None else start.T
    only = np.kron(np.eye(classes), np.diag([1.0] * FEATURES + [0.0]))
    for _ in range(30 if start is None else 1):
        z = rows @ weights.T
        if classes == 1:
            p, truth = 1 / (1 + np.exp(-z)), y[:, None]
            curve = (p * (1 - p))[..., None]
        else:
            p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
            truth = np.eye(classes)[y]
            curve = np.stack([np.diag(q) - np.outer(q, q) for q in p])
        slope = ((p - truth) * keep[:, None]).T @ rows
        slope = slope.ravel() + 2 * COUNT * PENALTY * only @ weights.ravel()
        second = sum(k * np.kron(c, np.outer(r, r)) for k, c, r in zip(
            keep, curve, rows, strict=True)) + 2 * COUNT * PENALTY * only
        weights = weights - (np.linalg.pinv(second) @ slope).reshape(weights.shape)
    assert start is not None or np.abs(slope).max() < 1e-9
    return weights.T


def without_each(fit, x, queries, target):
    """The scores (queries,) with all, and what they lose without each (queries, COUNT)."""
    whole = with_one(queries) @ fit(np.ones(COUNT))[:, target]
    lost = [whole - with_one(queries) @ fit(1.0 - np.eye(COUNT)[i])[:, target]
            for i in range(COUNT)]
    return whole, np.stack(lost, axis=1)


def test_leaving_out_is_exact_on_a_ridge_head():
    x, rng = draw()
    y = x @ [1.0, -2.0, 0.5] + rng.normal(size=COUNT)
    queries = rng.normal(size=(4, FEATURES))
    model = net(fit_ridge(x, y, np.ones(COUNT)), None)
    found = influence(model, queries, x, y, target=0, method="leave_one_out", penalty=PENALTY,
                      batch_size=7, verbose=0)
    whole, lost = without_each(lambda keep: fit_ridge(x, y, keep), x, queries, 0)
    np.testing.assert_allclose(found.logits, whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.scores, lost, atol=1e-4 * np.abs(lost).max())


@pytest.mark.parametrize("classes, end", [(1, "sigmoid"), (3, "softmax")])
def test_leaving_out_is_a_newton_step_and_close_on_a_logistic_head(classes, end):
    x, rng = draw(1)
    y = rng.integers(0, max(classes, 2), COUNT)
    queries = rng.normal(size=(4, FEATURES))
    best = fit_logistic(x, y, np.ones(COUNT), classes)
    found = influence(net(best, end), queries, x, y, target=0, method="leave_one_out",
                      penalty=PENALTY, verbose=0)
    _, step = without_each(lambda keep: fit_logistic(x, y, keep, classes, best), x, queries, 0)
    np.testing.assert_allclose(found.scores, step, atol=1e-3 * np.abs(step).max())
    _, lost = without_each(lambda keep: fit_logistic(x, y, keep, classes), x, queries, 0)
    np.testing.assert_allclose(found.scores, lost, atol=0.06 * np.abs(lost).max())
    assert np.corrcoef(found.scores.ravel(), lost.ravel())[0, 1] > 0.995


@pytest.mark.parametrize("classes, end", [(1, None), (1, "sigmoid"), (3, "softmax")])
def test_representer_points_sum_to_the_score(classes, end):
    x, rng = draw(2)
    y = rng.integers(0, max(classes, 2), COUNT)
    weights = fit_ridge(x, y, np.ones(COUNT)) if end is None else fit_logistic(
        x, y, np.ones(COUNT), classes)
    queries = rng.normal(size=(5, FEATURES))
    found = influence(net(weights, end), queries, x, y, method="representer", penalty=PENALTY,
                      batch_size=9, verbose=0)
    np.testing.assert_allclose(found.scores.sum(axis=1) + weights[-1][found.target], found.logits,
                               rtol=1e-3, atol=1e-4)


def test_tracin_is_what_a_step_of_training_does():
    """One step of gradient descent on one example, by Keras, at each checkpoint."""
    x, rng = draw(3)
    y, queries = rng.integers(0, 3, COUNT), rng.normal(size=(2, FEATURES))
    model = net(rng.normal(size=(FEATURES + 1, 3)), "softmax")
    states = [HeadCheckpoint(rng.normal(size=(FEATURES, 3)), rng.normal(size=3), rate, i)
              for i, rate in enumerate((1e-3, 2e-3))]
    found = influence(model, queries, x, y, target=[2, 0], checkpoints=states, verbose=0)
    for i in (0, 7):
        moved = np.zeros(2)
        for state in states:
            step = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(3)])
            step.layers[0].set_weights([state.kernel, state.bias])
            step.compile(keras.optimizers.SGD(state.rate), keras.losses.
                         SparseCategoricalCrossentropy(from_logits=True))
            before = step.predict(queries, verbose=0)
            step.train_on_batch(x[i : i + 1], y[i : i + 1])
            moved += (step.predict(queries, verbose=0) - before)[[0, 1], [2, 0]]
        np.testing.assert_allclose(found.scores[:, i], moved, rtol=0.01, atol=1e-6)


def test_a_planted_cause_is_most_influential():
    """One example alone has the feature that the answer needs."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(COUNT, FEATURES)) * [1, 1, 0], rng.integers(0, 2, COUNT)
    x[11], y[11] = [0, 0, 3], 1
    model = net(fit_logistic(x, y, np.ones(COUNT), 1), "sigmoid")
    for method in ("tracin", "representer", "leave_one_out"):
        found = influence(model, [[0.0, 0, 2]], x, y, method=method, penalty=PENALTY, verbose=0)
        assert found.order()[0, 0] == 11


@pytest.mark.parametrize("options, words", [
    ({"method": "representer"}, "Expected `penalty` above 0"),
    ({"method": "representer", "penalty": 1e-3}, "trained to the end"),
    ({"method": "traceing"}, "one of"), ({"target": 3}, "class from 0 to 2"),
    ({"checkpoints": []}, "received none"),
    ({"checkpoints": [HeadCheckpoint(np.ones((9, 3)), np.ones(3), 1.0, 1)]}, "of shape")])
def test_what_cannot_be_asked(options, words):
    x, rng = draw()
    model = net(rng.normal(size=(FEATURES + 1, 3)), "softmax")
    with pytest.raises(ValueError, match=words):
        influence(model, x[:2], x, rng.integers(0, 3, COUNT), verbose=0, **options)
