"""Our numbers next to those of Quantus and Xplique, where these are installed.

What differs is said in docs/metrics.md.
"""

import os
import sys

import keras
import numpy as np
import pytest
from keras import layers

from keras_explain import metrics

SIZE = (8, 10)


@pytest.fixture(scope="module")
def case():
    """A model with a probability that moves, images, heatmaps without ties, classes."""
    rng = np.random.default_rng(0)
    model = keras.Sequential([
        keras.Input((*SIZE, 3)), layers.Conv2D(6, 3, activation="relu"), layers.Flatten(),
        layers.Dense(4, activation="softmax")])
    for v in model.weights:
        v.assign(rng.normal(size=v.shape) * (0.3 if len(v.shape) > 1 else 0))
    x = rng.random((4, *SIZE, 3)).astype("float32")
    maps = rng.permutation(4 * 80).reshape(4, *SIZE).astype("float32") / 320
    return model, x, maps, keras.ops.convert_to_numpy(model(x)).argmax(-1)


@pytest.fixture
def xplique():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Xplique is for TensorFlow")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "0")
    return pytest.importorskip("xplique.metrics", exc_type=ImportError)


@pytest.fixture
def quantus():
    """Quantus with the classes that take plain arrays; its model wrappers want another Keras."""
    return pytest.importorskip("quantus", exc_type=ImportError)


def test_deletion_and_insertion_as_in_xplique(case, xplique):
    model, x, maps, top = case
    labels = np.eye(4, dtype="float32")[top]
    for ours, theirs in ((metrics.deletion, xplique.Deletion),
                         (metrics.insertion, xplique.Insertion)):
        expected = theirs(model, x, labels, steps=10, max_percentage_perturbed=1.0,
                          baseline_mode=0.0, operator="classification")(maps)
        found = ours(model, x, maps, steps=10, baseline="zero")
        np.testing.assert_allclose(found.mean(), expected, atol=1e-5)


def test_average_drop_as_in_xplique(case, xplique):
    model, x, maps, top = case
    labels = np.eye(4, dtype="float32")[top]
    maps = maps - maps.min((1, 2), keepdims=True)  # theirs is scaled by minimum and maximum
    expected = xplique.AverageDropMetric(model, x, labels, operator="classification")(maps)
    found = metrics.average_drop(model, x, maps, baseline="zero")
    np.testing.assert_allclose(found.mean(), expected, atol=1e-5)


def test_deletion_curve_is_pixel_flipping_of_quantus(case, quantus):
    model, x, maps, top = case
    flip = quantus.PixelFlipping(
        features_in_step=8 * 3, perturb_baseline=0.0, abs=False, normalize=False,
        disable_warnings=True, return_auc_per_sample=False)
    first = np.moveaxis(x, -1, 1)
    expected = flip.evaluate_batch(
        model=_Wrapped(model), x_batch=first, y_batch=top, a_batch=maps[:, None])
    found = metrics.deletion_curve(model, x, maps, steps=10, baseline="zero").scores
    np.testing.assert_allclose(found[:, 1:], expected, atol=1e-5)


def test_complexity_and_sparseness_as_in_quantus(case, quantus):
    _, x, maps, _ = case
    options = {"abs": True, "normalize": False, "disable_warnings": True}
    for ours, theirs in ((metrics.complexity, quantus.Complexity(**options)),
                         (metrics.sparseness, quantus.Sparseness(**options))):
        expected = theirs.evaluate_batch(x_batch=x, a_batch=np.abs(maps))
        np.testing.assert_allclose(ours(maps), expected, rtol=1e-4)


class _Wrapped:
    """What Quantus's metrics ask of a model: channels first in, probabilities out."""

    def __init__(self, model):
        self.model = model

    def shape_input(self, x, shape, channel_first=None, batched=False):
        return x.reshape(shape)

    def predict(self, x):
        return keras.ops.convert_to_numpy(self.model(np.moveaxis(x, 1, -1)))


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
