"""Series: maps over time and channel, the same whatever layer comes first."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_explain as kx

STEPS, CHANNELS, AT = 12, 3, (7, 2)
FIRST = {
    "convolution": lambda x: layers.Conv1D(8, 3, padding="same", activation="relu")(x),
    "recurrent": lambda x: layers.GRU(8, return_sequences=True)(x),
    "flatten": lambda x: layers.Reshape((1, -1))(layers.Flatten()(x)),
    "dense": lambda x: layers.Dense(8, activation="tanh")(x),
}
METHODS = {
    "occlusion": {"patch_size": 1}, "rise": {"samples": 512, "grid": 12},
    "integrated_gradients": {}, "saliency": {}, "gradient_x_input": {},
    "smooth_grad": {"samples": 8},
}


def planted(first):
    """A trained-by-hand model whose answer is the square of one channel at one moment."""
    x = keras.Input((STEPS, CHANNELS))
    cue = ops.square(x[:, AT[0], AT[1]])[:, None]
    beside = layers.Dense(1, kernel_initializer="zeros")(layers.Flatten()(FIRST[first](x)))
    return keras.Model(x, cue + beside)


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("method", METHODS)
def test_a_planted_moment_of_a_channel_leads(method, first):
    x = np.random.default_rng(0).normal(size=(4, STEPS, CHANNELS)).astype("float32")
    x[:, AT[0], AT[1]] = 3
    explained = getattr(kx, method)(planted(first), channels="keep", **METHODS[method])
    maps = ops.convert_to_numpy(explained(x)["heatmap"])
    assert maps.shape == x.shape
    assert (np.abs(maps).reshape(4, -1).argmax(axis=1) == AT[0] * CHANNELS + AT[1]).all()


def linear(first="convolution"):
    x = keras.Input((STEPS, CHANNELS))
    y = layers.Conv1D(1, 1, use_bias=False)(x) if first == "convolution" else x
    return keras.Model(x, layers.Dense(1)(layers.Flatten()(y)))


@pytest.mark.parametrize("baseline", ["mean", "zero", 2.0, "inpaint"])
def test_occlusion_hides_one_channel_by_what_lies_around_it_in_time(baseline):
    model = linear()
    kernel, weights = (ops.convert_to_numpy(layer.kernel) for layer in model.layers[1::2])
    x = np.random.default_rng(0).normal(size=(2, STEPS, CHANNELS)).astype("float32")
    slopes = weights.reshape(STEPS, 1) * kernel.reshape(1, CHANNELS)
    explained = kx.occlusion(model, patch_size=1, baseline=baseline, channels="keep")
    found = ops.convert_to_numpy(explained(x)["heatmap"])
    if baseline == "inpaint":
        base = np.empty_like(x)
        for t in range(STEPS):
            near = np.exp(-0.5 * (np.arange(STEPS) - t) ** 2.0)
            near[t] = 0
            rest = np.delete(x, t, axis=1).mean(axis=1)
            whole = np.array([np.exp(-0.5 * (np.arange(STEPS) - s) ** 2.0).sum()
                              for s in range(STEPS)])
            near = near / whole[t]
            base[:, t] = (np.einsum("t,ntc->nc", near, x) + 1e-4 * rest) / (near.sum() + 1e-4)
    else:
        base = {"mean": x.mean(axis=1, keepdims=True), "zero": 0.0}.get(baseline, 2.0)
    np.testing.assert_allclose(found, slopes * (x - base), atol=2e-2 if baseline == "inpaint"
                               else 1e-5)


def test_channels_are_saved_and_add_up(tmp_path):
    model, x = planted("convolution"), np.random.default_rng(0).normal(
        size=(2, STEPS, CHANNELS)).astype("float32")
    explained = kx.gradient_x_input(model, channels="keep")
    explained.save(tmp_path / "series.keras")
    whole = ops.convert_to_numpy(kx.gradient_x_input(model)(x)["heatmap"])
    for kept in (explained, keras.models.load_model(tmp_path / "series.keras")):
        maps = kept.predict(x, verbose=0)["heatmap"]
        np.testing.assert_allclose(maps.sum(axis=-1), whole, atol=1e-5)


def test_images_keep_their_channels_too():
    image = keras.Input((6, 5, 3))
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(layers.Conv2D(4, 3)(image))))
    x = np.random.default_rng(0).random((2, 6, 5, 3)).astype("float32")
    for name, options in (("saliency", {}), ("occlusion", {"patch_size": 2}), ("rise", {
            "samples": 16})):
        assert getattr(kx, name)(model, channels="keep", **options)(x)["heatmap"].shape == x.shape


def test_metrics_take_maps_of_channels():
    model = linear()
    x = np.random.default_rng(0).normal(size=(6, STEPS, CHANNELS)).astype("float32")
    kernel, weights = (ops.convert_to_numpy(layer.kernel) for layer in model.layers[1::2])
    slopes = weights.reshape(STEPS, 1) * kernel.reshape(1, CHANNELS)
    true = slopes * (x - x.mean(axis=1, keepdims=True))
    assert (kx.metrics.sensitivity_n(model, x, true, patch_size=1) > 0.999).all()
    drawn = np.random.default_rng(1).normal(size=x.shape)
    evaluator = kx.metrics.Evaluator(model)
    assert kx.metrics.deletion(evaluator, x, true).mean() < (
        kx.metrics.deletion(evaluator, x, drawn).mean())
    assert kx.metrics.deletion(evaluator, x, true.sum(axis=-1)).shape == (6,)
    explained = kx.occlusion(model, channels="keep", patch_size=1)
    assert (kx.metrics.sensitivity_n(explained, x, patch_size=1) > 0.999).all()


def test_a_table_has_no_channels():
    x = keras.Input((5,))
    with pytest.raises(ValueError, match="Leave `channels` out"):
        kx.saliency(keras.Model(x, layers.Dense(2)(x)), channels="keep")


def test_lime_over_segments_of_time_and_channel():
    """A series is an image of one row a moment: segments are blocks of time in one channel."""
    series = np.random.default_rng(0).normal(size=(STEPS, CHANNELS)).astype("float32")
    series[AT] = 3
    blocks = np.arange(STEPS)[:, None] // 3 * CHANNELS + np.arange(CHANNELS)
    explainer = kx.lime.LimeImageExplainer(planted("convolution"), segments=blocks, baseline=0.0)
    found = explainer.explain(series, target=0, samples=200, verbose=0)
    assert found.heatmap().shape == series.shape
    assert np.unravel_index(np.abs(found.heatmap()).argmax(), series.shape)[0] // 3 == AT[0] // 3
    assert np.abs(found.weights[0]).argmax() == blocks[AT]
