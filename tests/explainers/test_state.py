"""Models that keep state from call to call are refused, and keep the state that they had."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from models import draw

import keras_explain as kx
from keras_explain.explainers._own_answers import RandomModelWarning
from keras_explain.lime import LimeImageExplainer

X = draw((12, 2), 8)
SEGMENTS = np.repeat(np.arange(4), 3)[:, None] * np.ones((1, 2), int)


class Counting(layers.Layer):
    """Answers with how often it was called; its class says nothing of that."""

    def build(self, shape):
        self.calls = self.add_weight(initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.assign(self.calls + 1)
        return x + self.calls if self.name == "matters" else x


def recurrent(stateful):
    keras.utils.set_random_seed(1)
    x = keras.Input(batch_shape=(8, 12, 2))
    y = layers.LSTM(4, stateful=stateful, return_sequences=True, name="memory")(x)
    return keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(y)))


def counting(name):
    x = keras.Input((12, 2))
    y = Counting(name=name)(layers.Conv1D(3, 3)(x))
    return keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(y)))


def state_of(model):
    layer = next(x for x in model.layers if isinstance(x, (layers.LSTM, Counting)))
    return [ops.convert_to_numpy(v) for v in getattr(layer, "states", None) or [layer.calls]]


def explain_by_lime(model):
    LimeImageExplainer(model, segments=SEGMENTS, baseline=0, batch_size=8).explain(
        X[0], target=[0], verbose=0)


WAYS = {
    "lime": explain_by_lime,
    "saliency": lambda model: kx.saliency(model).predict(X, verbose=0),
    "occlusion": lambda model: kx.occlusion(model, batch_size=8).predict(X, verbose=0),
    "called": lambda model: kx.gradient_x_input(model)(X),
}


@pytest.mark.parametrize("make", [lambda: recurrent(True), lambda: counting("matters")])
@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_keeps_state_is_refused_and_keeps_it(way, make):
    model = make()
    model(X)
    before = state_of(model)
    assert any(np.any(value) for value in before)
    for _ in range(2):
        with pytest.raises(ValueError, match="keeps state from call to call.*stateful=False"):
            WAYS[way](model)
    for found, expected in zip(state_of(model), before, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("make", [lambda: recurrent(False), lambda: counting("idle")])
@pytest.mark.parametrize("way", ["lime", "saliency", "called"])
def test_models_whose_answers_do_not_depend_on_state_are_explained(way, make):
    WAYS[way](make())


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="its loops take no seed generator")
@pytest.mark.parametrize("builder", [kx.saliency, kx.occlusion, kx.rise, kx.integrated_gradients])
def test_a_model_that_is_random_is_explained_with_a_warning(builder):
    class Always(layers.Dropout):
        def call(self, x, training=None):
            return super().call(x, training=True)

    x = keras.Input((8, 8, 1))
    y = Always(0.5)(layers.Flatten()(layers.Conv2D(4, 3)(x)))
    with pytest.warns(RandomModelWarning, match="random at inference.*mean of several"):
        builder(keras.Model(x, layers.Dense(2)(y))).predict(draw((8, 8, 1), 2), verbose=0)
