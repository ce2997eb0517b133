"""Methods run where Keras's default is float64, and give what they give in float32."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_explain as kx

NAMES = ("saliency", "integrated_gradients", "smooth_grad", "rise", "occlusion")


def small_net(weights=None):
    model = keras.Sequential([
        keras.Input((12, 10, 2)), layers.Conv2D(4, 3, activation="softplus"),
        layers.BatchNormalization(), layers.Conv2D(3, 3, activation="tanh"),
        layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax")])
    if weights is not None:
        model.set_weights(weights)
    return model


@pytest.fixture
def float64():
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")


@pytest.mark.parametrize("name", NAMES)
def test_float64_gives_the_maps_of_float32(name, float64):
    builder, x = getattr(kx, name), np.random.default_rng(0).normal(size=(2, 12, 10, 2))
    maps, weights = [], None
    for floatx in ("float32", "float64"):
        keras.config.set_floatx(floatx)
        model = small_net(weights)
        weights = model.get_weights()
        maps.append(ops.convert_to_numpy(builder(model, target=1)(x)["heatmap"]))
    assert np.ptp(maps[0]) > 0
    np.testing.assert_allclose(*maps, atol=1e-3 * np.ptp(maps[0]))
