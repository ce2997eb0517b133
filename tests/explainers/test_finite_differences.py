"""Slopes of anything callable: closed forms, the gradient, batches, errors."""

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.linear_model import LogisticRegression

import keras_explain as kx

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(6, 3))
X = RNG.normal(size=(5, 6))


def differences(function, target=None, **options):
    return kx.finite_differences(function, target=target, **options)


def test_a_linear_function_is_exact():
    out = differences(lambda x: x @ KERNEL, 1, signed=True)(X)
    np.testing.assert_allclose(out["heatmap"], np.tile(KERNEL[:, 1], (5, 1)), atol=1e-6)
    np.testing.assert_allclose(out["predictions"], X @ KERNEL)
    assert out["heatmap"].dtype == "float32"


def test_targets():
    best = (X @ KERNEL).argmax(axis=1)
    maps = differences(lambda x: x @ KERNEL, signed=True)(X)["heatmap"]
    np.testing.assert_allclose(maps, KERNEL.T[best], atol=1e-6)
    each = [0, 1, 2, -1, 0]
    maps = differences(lambda x: x @ KERNEL, each, signed=True)(X)["heatmap"]
    np.testing.assert_allclose(maps, KERNEL.T[[0, 1, 2, best[3], 0]], atol=1e-6)
    maps = differences(lambda x: x @ KERNEL, lambda out: out[:, 0] - out[:, 2], signed=True)(X)
    np.testing.assert_allclose(maps["heatmap"][0], KERNEL[:, 0] - KERNEL[:, 2], atol=1e-6)
    maps = differences(lambda x: (x @ KERNEL)[:, 0], signed=True)(X)["heatmap"]
    np.testing.assert_allclose(maps[0], KERNEL[:, 0], atol=1e-6)


@pytest.mark.parametrize("signed", [True, False])
def test_it_is_the_gradient_of_a_network(signed):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((7, 5, 2)), layers.Conv2D(4, 3, activation="tanh"),
                              layers.Flatten(), layers.Dense(3)])
    images = RNG.normal(size=(3, 7, 5, 2)).astype("float32")
    expected = keras.ops.convert_to_numpy(kx.saliency(model, signed=signed)(images)["heatmap"])
    found = differences(model, signed=signed)(images)["heatmap"]
    assert found.shape == (3, 7, 5)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
    by_size = [differences(model, signed=signed, batch_size=n)(images)["heatmap"] for n in (2, 7)]
    np.testing.assert_allclose(by_size, [found, found], atol=2e-4)


def test_no_call_is_larger_than_the_batch():
    sizes = []

    def function(x):
        sizes.append(len(x))
        return x @ KERNEL

    differences(function, batch_size=8)(X)
    assert max(sizes) == 8 and sum(sizes) == 5 + 2 * 5 * 6


def test_a_forest_and_a_regression_of_scikit_learn():
    model = LogisticRegression().fit(X, [0, 1, 2, 0, 1])
    p = model.predict_proba(X)
    expected = p[:, :1] * (model.coef_[0] - p @ model.coef_)
    found = differences(model.predict_proba, 0, signed=True)(X)["heatmap"]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_axes():
    def function(x):
        return (x * np.arange(1, 13).reshape(1, 4, 3)).sum(axis=(1, 2))

    images = np.ones((2, 4, 3))
    channels = differences(function)(images)["heatmap"]
    np.testing.assert_allclose(channels[0], [3, 6, 9, 12], rtol=1e-6)
    gray = differences(function, channel_axis=None)(images)["heatmap"]
    np.testing.assert_allclose(gray[0].ravel(), np.arange(1, 13), rtol=1e-6)
    first = differences(function, channel_axis=1, signed=True)(images)["heatmap"]
    np.testing.assert_allclose(first[0], [22, 26, 30], rtol=1e-6)


def test_the_step_is_central_and_follows_large_values():
    """x^3 with the step h has the slope 3 x^2 + h^2; a one-sided step would add 3 x h."""
    found = differences(lambda x: (x**3)[:, 0], epsilon=0.1)(np.array([[2.0]]))["heatmap"]
    assert found[0, 0] == pytest.approx(12.01, abs=1e-5)
    large = differences(lambda x: (x**2)[:, 0])(np.array([[1e6]], "float32"))["heatmap"]
    assert large[0, 0] == pytest.approx(2e6, rel=1e-2)


def test_errors():
    with pytest.raises(TypeError, match="Expected a function.*received LogisticRegression"):
        differences(LogisticRegression())
    with pytest.raises(ValueError, match=r"one row per example, 5, received an array of shape \(3"):
        differences(lambda x: np.ones(3))(X)
    with pytest.raises(ValueError, match="from 0 to 2.*received 3"):
        differences(lambda x: x @ KERNEL, 3)(X)
    with pytest.raises(ValueError, match="one class per example, 5, received 2"):
        differences(lambda x: x @ KERNEL, [0, 1])(X)
    with pytest.raises(TypeError, match="received an array of dtype <U1.*LIME"):
        differences(lambda x: x)(np.array([["a"]]))
    with pytest.raises(ValueError, match="Expected finite inputs"):
        differences(lambda x: x)(np.array([[np.nan]]))
    with pytest.raises(ValueError, match="`epsilon` above 0, received -1"):
        differences(lambda x: x, epsilon=-1)
    with pytest.raises(TypeError, match="received 'input'"):
        differences(lambda x: x, "input")
