"""Grad-CAM where a model does not average its feature map, and what is taken instead."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops
from models import KINDS, alive, draw
from running import heatmap

import keras_explain as kx
from keras_explain.explainers._choice import choose_cam, name_of


def quadrants(end="softmax"):
    """Which quarter of the picture is bright? What speaks for one class speaks against the others.

    The mean gradient of each class over the map is zero, by construction.
    """
    x = keras.Input((16, 16, 1))
    conv = layers.Conv2D(1, 3, padding="same", activation="relu", kernel_initializer="ones",
                         name="conv")
    dense = layers.Dense(4, activation=end, name="top")
    model = keras.Model(x, dense(layers.Flatten()(layers.MaxPooling2D()(conv(x)))))
    kernel = np.full((8, 8, 4), -1, "float32")
    for c, (row, column) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4)]):
        kernel[row : row + 4, column : column + 4, c] = 3
    dense.set_weights([kernel.reshape(64, 4), np.zeros(4, "float32")])
    return model


def squares():
    """One picture for each quarter, with a square in it, and the squares' corners."""
    rng, corners = np.random.default_rng(0), [(2, 2), (1, 11), (10, 3), (11, 10)]
    x = rng.uniform(0, 0.05, (4, 16, 16, 1)).astype("float32")
    for picture, (row, column) in zip(x, corners, strict=True):
        picture[row : row + 3, column : column + 3] = 1
    return x, corners


def find(maps, corners):
    """Whether each map's maximum lies in its square."""
    places = [np.unravel_index(m.argmax(), m.shape) for m in maps]
    return [bool(m.any()) and 0 <= r - row < 3 and 0 <= c - column < 3
            for m, (r, c), (row, column) in zip(maps, places, corners, strict=True)]


def test_evidence_behind_a_flatten_is_found():
    x, corners = squares()
    model = quadrants()
    chosen = choose_cam(model)
    assert name_of(chosen) == "hires_cam"
    assert find(heatmap(chosen, x), corners) == [True] * 4
    with pytest.warns(UserWarning, match="averages its feature map 'conv'.*`hires_cam`"):
        blank = kx.grad_cam(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert sum(find(heatmap(blank, x), corners)) <= 1  # what the warning is about


@pytest.mark.parametrize("builder", [kx.grad_cam, kx.guided_grad_cam])
def test_the_warning_points_to_the_line_that_built(builder):
    with pytest.warns(UserWarning, match="averages its feature map 'conv'.*`hires_cam`") as caught:
        builder(quadrants())
    assert [w.filename for w in caught if "averages" in str(w.message)] == [__file__]


def silently(build, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return build(*args, **options)


@pytest.mark.parametrize("size", [(8, 8), (64, 96), (224, 224)])
def test_a_mean_over_a_map_of_any_size_is_seen(size):
    x = keras.Input((*size, 3))
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(x))
    model = keras.Model(x, layers.Dense(2, activation="softmax")(y))
    silently(kx.grad_cam, model)
    assert name_of(choose_cam(model)) == "grad_cam"


@pytest.mark.parametrize("name", [
    "functional", "shared_layer", "channels_first", "volume", "mixed_float16",
    "sigmoid_of_one_unit", "dead_layer", "variable_size", "saturated_softmax"])
def test_behind_a_mean_both_are_equal_and_nothing_is_said(name):
    kind = KINDS[name]
    chosen = choose_cam(kind.model, **kind.options)
    assert name_of(chosen) == "grad_cam"
    one = silently(kx.grad_cam, kind.model, resize=False, **kind.options)
    if name == "functional":
        silently(kx.guided_grad_cam, kind.model)
    two = kx.hires_cam(kind.model, resize=False, **kind.options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", kx.BlankHeatmapWarning)
        one, two = heatmap(one, kind.inputs(2)), heatmap(two, kind.inputs(2))
    np.testing.assert_allclose(one, two, rtol=2e-2 if "16" in name else 1e-4, atol=1e-6)


@pytest.mark.parametrize("layer, series", [(None, "hires_cam"), ("conv", "hires_cam conv")])
def test_the_callback_names_its_series_after_the_method(tmp_path, layer, series):
    x, _ = squares()
    model = quadrants()
    model.compile("sgd", "sparse_categorical_crossentropy")
    callback = kx.callbacks.GradCAMCallback(x, layer=layer, log_dir=tmp_path)
    model.fit(x, np.arange(4), verbose=0, callbacks=[callback])
    assert [p.name for p in (tmp_path / "explanations").iterdir()] == [series]
    named = kx.callbacks.GradCAMCallback(x, name="mine", log_dir=tmp_path)
    model.fit(x, np.arange(4), verbose=0, callbacks=[named])
    assert (tmp_path / "explanations" / "mine").is_dir()


def test_compare_takes_the_method_that_suits_the_model():
    x, _ = squares()
    assert kx.compare(quadrants(), x, metrics=["sparseness"]).methods[:3] == [
        "hires_cam", "saliency", "occlusion"]


def test_layers_in_the_middle_of_a_network_with_a_mean():
    kind = KINDS["skip_around_the_layer"]
    assert name_of(silently(choose_cam, kind.model, layer="inner")) == "grad_cam"
    silently(kx.grad_cam, kind.model, layer="first")


@pytest.mark.parametrize("name", ["segmentation", "detection", "sequence",
                                  "transformer_with_class_token"])
def test_other_heads(name):
    kind = KINDS[name]
    assert name_of(choose_cam(kind.model, **kind.options, **kind.cam)) == "hires_cam"


def test_several_layers_name_the_first():
    x = keras.Input((12, 12, 1))
    y = layers.Conv2D(2, 3, activation="relu", name="one")(x)
    y = layers.Conv2D(3, 3, activation="relu", name="two")(y)
    model = alive(keras.Model(x, layers.Dense(2)(layers.Flatten()(y))), None)
    with pytest.warns(UserWarning, match="feature map 'one'"):
        kx.grad_cam(model, layer=["one", "two"])


def test_a_head_of_zeros_is_told_by_other_weights():
    """Before training some heads react to nothing; what they will do is known all the same."""
    def net(reduce):
        x = keras.Input((12, 12, 1))
        y = reduce(layers.Conv2D(3, 3, activation="relu")(x))
        y = layers.BatchNormalization(gamma_initializer="zeros")(layers.Dense(4)(y))
        return keras.Model(x, layers.Dense(2, kernel_initializer="zeros")(y))

    assert name_of(choose_cam(net(layers.Flatten()))) == "hires_cam"
    model = net(layers.GlobalAveragePooling2D())
    before = model.get_weights()
    assert name_of(choose_cam(model)) == "grad_cam"
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_a_weighted_mean_is_none():
    """Attention pooling: the same channels everywhere, but not the same weight."""
    x = keras.Input((12, 12, 1))
    y = layers.Conv2D(3, 3, activation="relu", name="features")(x)
    y = layers.Reshape((100, 3))(y)
    weights = ops.softmax(layers.Dense(1)(y), axis=1)
    model = alive(keras.Model(x, layers.Dense(2)(ops.sum(weights * y, axis=1))), None)
    chosen = choose_cam(model, layer="features")
    assert name_of(chosen) == "hires_cam"
    assert heatmap(chosen, draw((12, 12, 1), 2)).shape == (2, 12, 12)
