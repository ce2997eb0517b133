"""Models that keep state from call to call are refused, and keep the state that they had."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from models import draw

import keras_explain as kx
from keras_explain.data.state import RandomModelWarning
from keras_explain.error_analysis import analyze_errors
from keras_explain.lime import LimeImageExplainer
from keras_explain.linear import mean_gradient

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
    "mean_gradient": lambda model: mean_gradient(model, X, batch_size=8),
    "errors": lambda model: analyze_errors(model, X, np.zeros(8, int), batch_size=8),
    "finite_differences": lambda model: kx.finite_differences(model, batch_size=8)(X),
    "metric": lambda model: kx.metrics.deletion(model, X, np.ones((8, 12)), batch_size=8),
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


class Always(layers.Dropout):
    """Drops at inference too."""

    def call(self, x, training=None):
        return super().call(x, training=True)


def linear_model(rate):
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 1))
    y = layers.Flatten()(layers.Conv2D(4, 3)(x))
    return keras.Model(x, layers.Dense(2)(Always(rate)(y) if rate else y))


METHODS = {
    "saliency": lambda m: kx.saliency(m, signed=True), "occlusion": kx.occlusion,
    "rise": kx.rise, "integrated_gradients": lambda m: kx.integrated_gradients(m, steps=4),
    "score_cam": kx.score_cam, "ablation_cam": kx.ablation_cam, "grad_cam": kx.hires_cam,
    "smooth_grad": lambda m: kx.smooth_grad(m, samples=4)}


@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_is_random_is_explained_with_a_warning(method):
    model, x = linear_model(0.5), draw((8, 8, 1), 2)
    explained = METHODS[method](model)
    with pytest.warns(RandomModelWarning, match="random at inference.*mean of several"):
        first = explained.predict(x, verbose=0)["heatmap"]
    assert np.any(first != explained.predict(x, verbose=0)["heatmap"])  # another draw
    assert all(np.isfinite(ops.convert_to_numpy(v)).all() for v in model.variables)
    model(x)


@pytest.mark.filterwarnings("ignore::keras_explain.data.state.RandomModelWarning")
@pytest.mark.parametrize("build", [
    lambda m: kx.occlusion(m, patch_size=4, score="logit", target=1),
    lambda m: kx.integrated_gradients(m, steps=4, target=1),
    lambda m: kx.saliency(m, signed=True, target=1)], ids=["occlusion", "ig", "saliency"])
def test_the_mean_of_several_draws_is_that_of_the_mean_model(build):
    """Of a linear model, whose mean over draws is the model without the random layer."""
    random, plain = linear_model(0.3), linear_model(0.0)
    plain.set_weights([v for v in random.get_weights() if v.dtype.kind == "f"])
    x = draw((8, 8, 1), 1)
    (wanted,) = build(plain).predict(x, verbose=0)["heatmap"]
    explained = build(random)
    draws = np.concatenate([ops.convert_to_numpy(explained.predict_on_batch(x)["heatmap"])
                            for _ in range(200)])
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert error.max() > 0
    assert np.all(np.abs(draws.mean(axis=0) - wanted) < 5 * error + 1e-5)


def test_lime_warns_once_of_a_random_model():
    explainer = LimeImageExplainer(linear_model(0.5), segments="grid")
    with pytest.warns(RandomModelWarning, match="random at inference.*mean of several") as caught:
        for _ in range(2):
            explainer.explain(draw((8, 8, 1), 1)[0], samples=20, target=[0], verbose=0)
    assert len([w for w in caught if w.category is RandomModelWarning]) == 1
