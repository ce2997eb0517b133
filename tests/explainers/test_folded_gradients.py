"""Methods of many gradients run with normalization folded: as exact, and after later training."""

import autodiff
import keras
import numpy as np
import pytest
from keras import layers, ops
from models import KINDS, alive

import keras_explain as kx

BUILDERS = {
    "smooth_grad": lambda m: kx.smooth_grad(m, samples=6, signed=True, target=1),
    "squared": lambda m: kx.smooth_grad(m, samples=6, form="squared", target=1),
    "variance": lambda m: kx.smooth_grad(m, samples=6, form="variance", target=1),
    "integrated_gradients": lambda m: kx.integrated_gradients(
        m, steps=6, method="midpoint", target=1),
    "several_baselines": lambda m: kx.integrated_gradients(
        m, steps=3, target=1, baseline=np.stack([np.zeros((12, 10, 3)), np.ones((12, 10, 3))])),
}


def network(dtype="float32"):
    """Each form that folding knows, smooth, so that rounding alone tells two ways apart."""
    x = inputs = keras.Input((12, 10, 3), dtype=dtype)
    options = {"padding": "same", "use_bias": False, "dtype": dtype}
    x = layers.Conv2D(6, 3, **options)(x)
    x = y = layers.Activation("silu", dtype=dtype)(layers.BatchNormalization(dtype=dtype)(x))
    x = layers.DepthwiseConv2D(3, **options)(x)
    x = layers.Activation("tanh", dtype=dtype)(layers.BatchNormalization(dtype=dtype)(x))
    x = layers.Conv2D(6, 1, **options)(x)
    x = layers.Add(dtype=dtype)([layers.BatchNormalization(dtype=dtype)(x), y])
    x = layers.GlobalAveragePooling2D(dtype=dtype)(x)
    return keras.Model(inputs, layers.Dense(4, activation="softmax", dtype=dtype)(x))


def images(count=3):
    return np.random.default_rng(1).normal(size=(count, 12, 10, 3)).astype("float32")


def unfold(explained):
    explained.explainer.folded = None
    return explained


@pytest.fixture
def model():
    return alive(network(), images(16))


@pytest.mark.parametrize("builder", BUILDERS)
def test_the_same_as_through_the_layers(model, builder):
    folded, layered = BUILDERS[builder](model), unfold(BUILDERS[builder](model))
    x = images()
    got, want = folded.predict(x, verbose=0), layered.predict(x, verbose=0)
    spread = np.ptp(want["heatmap"])
    assert spread > 0.1 * np.abs(want["heatmap"]).max() > 0
    np.testing.assert_allclose(got["heatmap"], want["heatmap"], atol=1e-5 * spread)
    np.testing.assert_array_equal(got["predictions"], want["predictions"])
    if "completeness_gap" in got:
        np.testing.assert_allclose(got["completeness_gap"], want["completeness_gap"], atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no float64 unless asked")
def test_as_exact_as_the_layers_are(model):
    """Against float64 and a plain tape, which share no code with either."""
    twin = network("float64")
    twin.set_weights(model.get_weights())
    x = np.float64(images(24))
    head = keras.Model(twin.inputs, twin.layers[-2].output)
    kernel, bias = (w.astype("float64") for w in twin.layers[-1].get_weights())

    def logit(points):
        return ops.sum(ops.matmul(head(points), kernel)[:, 1] + bias[1])

    truth = x * np.mean([autodiff.gradient(logit, x * (k + 0.5) / 6) for k in range(6)], axis=0)
    truth = truth.sum(axis=-1)
    build = BUILDERS["integrated_gradients"]
    errors = [np.abs(e.predict(np.float32(x), verbose=0)["heatmap"] - truth)
              for e in (build(model), unfold(build(model)))]
    folded, layered = (np.sqrt(np.mean(e**2)) for e in errors)
    assert 0 < folded < 1e-6 * np.ptp(truth)
    assert folded < 1.5 * layered


def test_later_training_is_followed(model):
    explained = BUILDERS["integrated_gradients"](model)
    x = images()
    before = explained.predict(x, verbose=0)["heatmap"]
    for norm in (n for n in model.layers if isinstance(n, layers.BatchNormalization)):
        norm.set_weights([1.3 * w + 0.1 for w in norm.get_weights()])
    after = explained.predict(x, verbose=0)["heatmap"]
    assert np.abs(after - before).max() > 1e-2 * np.ptp(before)
    fresh = unfold(BUILDERS["integrated_gradients"](model)).predict(x, verbose=0)["heatmap"]
    np.testing.assert_allclose(after, fresh, atol=1e-5 * np.ptp(fresh))


def test_it_is_folded_where_there_is_something_to_fold(model):
    steps = kx.smooth_grad(model).explainer.folded.steps
    assert not any("normalization" in type(s.fn).__name__.lower() for s in steps)
    assert kx.integrated_gradients(KINDS["table"].model, baseline=0.0).explainer.folded is None
    assert kx.smooth_grad(KINDS["tokens"].model).explainer.folded is None


def test_where_folding_rounds_too_much_the_layers_run(model, monkeypatch):
    """And the model is not closed for that."""
    from keras_explain.engine.affine import Affine

    monkeypatch.setattr(Affine, "constants", lambda self, plain=Affine.constants: tuple(
        c if c is None else 1.01 * c for c in plain(self)))
    explained, plain = (BUILDERS["integrated_gradients"](model) for _ in range(2))
    x = images()
    got, want = explained.predict(x, verbose=0), unfold(plain).predict(x, verbose=0)
    assert explained.explainer.folded is None
    assert not explained.explainer.stays_closed
    np.testing.assert_array_equal(got["heatmap"], want["heatmap"])


@pytest.mark.parametrize("build", [
    lambda m: kx.score_cam(m, target=1), lambda m: kx.rise(m, samples=8, target=1)],
    ids=["score_cam", "rise"])
def test_methods_of_many_passes_run_the_layers_then(model, build, monkeypatch):
    """Score-CAM refused such a model, and the message blamed how it was recorded."""
    from keras_explain.engine.affine import Affine

    plain, explained, x = build(model), build(model), images()
    plain.explainer.run_layers_alone()
    monkeypatch.setattr(Affine, "constants", lambda self, old=Affine.constants: tuple(
        c if c is None else 1.01 * c for c in old(self)))
    got, want = explained.predict(x, verbose=0), plain.predict(x, verbose=0)
    assert not explained.explainer.stays_closed
    np.testing.assert_array_equal(got["heatmap"], want["heatmap"])
