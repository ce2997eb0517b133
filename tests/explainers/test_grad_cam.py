import keras
import numpy as np
import pytest
from autodiff import gradient
from keras import layers, ops
from models import (
    HEIGHT,
    KINDS,
    WIDTH,
    alive,
    body,
    draw,
    head,
    image,
    setting,
    vision_transformer,
)
from running import heatmap, run

import keras_explain as kx

# On paper: two feature maps, A = sum of the channels and B = twice the first channel; the logits
# are the means of A + 2 B and of B - 3 A. The gradient of a mean is 1 / cells.
TOP = np.array([[1.0, -3.0], [2.0, 1.0]], "float32")


def on_paper(channels, height=2, width=3):
    model = keras.Sequential([
        keras.Input((height, width, channels)),
        layers.Conv2D(2, 1, use_bias=False, name="maps"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2, use_bias=False, activation="softmax"),
    ])
    kernel = np.ones((1, 1, channels, 2), "float32")
    kernel[..., 1] = 0
    kernel[0, 0, 0, 1] = 2
    model.set_weights([kernel, TOP])
    return model


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("target", [0, 1])
def test_numbers_on_paper(channels, target):
    x = draw((2, 3, channels), 2) - 0.5
    a, b = x.sum(axis=-1), 2 * x[..., 0]
    wanted = np.maximum((a + 2 * b, b - 3 * a)[target] / 6, 0)
    found = heatmap(kx.grad_cam(on_paper(channels), target=target), x)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert (wanted > 0).any() and (wanted == 0).any()


def test_interpolation_on_paper():
    """Two cells over four pixels: half-pixel centers, the border held."""
    model = keras.Sequential([
        keras.Input((2, 4, 1)), layers.AveragePooling2D((1, 2)),
        layers.Conv2D(1, 1, use_bias=False, name="map"), layers.GlobalAveragePooling2D(),
    ])
    model.set_weights([np.ones((1, 1, 1, 1), "float32")])
    x = np.array([[0, 0, 8, 8], [4, 4, 4, 4]], "float32")[None, :, :, None]
    np.testing.assert_allclose(heatmap(kx.grad_cam(model), x)[0],
                               np.array([[0, 2, 6, 8], [4, 4, 4, 4]]) / 4, atol=1e-6)
    np.testing.assert_allclose(heatmap(kx.grad_cam(model, resize=False), x)[0],
                               np.array([[0, 8], [4, 4]]) / 4, atol=1e-6)


def skipping(activation=None):
    """A feature map that the head reads twice: through a convolution and around it."""
    x = image()
    features = layers.Conv2D(4, 3, activation="relu", name="features")(x)
    y = layers.Conv2D(4, 3, padding="same", activation="tanh")(features)
    model = keras.Model(x, head(layers.Add()([features, y]), activation=activation))
    return alive(model, None, seed=2)


def plain(model, layer, x, index):
    """Grad-CAM as its paper says it, one image at a time, with Keras's public functions."""
    features = model.get_layer(layer).output
    stem, tail = keras.Model(model.input, features), keras.Model(features, model.output)
    maps = []
    for row in range(len(x)):
        a = run(stem, x[row : row + 1])
        g = gradient(lambda a: tail(a)[0, index], a)
        maps.append(np.maximum((a * g.mean(axis=(1, 2), keepdims=True)).sum(axis=-1)[0], 0))
    return np.stack(maps)


@pytest.mark.parametrize("index", [0, 2])
def test_equals_a_plain_gradient(index):
    model, x = skipping(), draw((HEIGHT, WIDTH, 3), 2)
    found = heatmap(kx.grad_cam(model, layer="features", target=index, resize=False), x)
    wanted = plain(model, "features", x, index)
    assert wanted.max() > 0
    np.testing.assert_allclose(found, wanted, atol=1e-6 * wanted.max(), rtol=1e-4)


def test_explains_the_logit_under_a_softmax():
    x = draw((HEIGHT, WIDTH, 3), 2)
    with_softmax, without = skipping("softmax"), skipping()
    for options in ({"target": 1}, {}):
        np.testing.assert_allclose(
            heatmap(kx.grad_cam(with_softmax, layer="features", **options), x),
            heatmap(kx.grad_cam(without, layer="features", **options), x),
            atol=1e-6,
        )


def test_explains_the_probability_if_asked():
    model, x = skipping("softmax"), draw((HEIGHT, WIDTH, 3), 2)
    found = heatmap(
        kx.grad_cam(model, layer="features", target=1, score="probability", resize=False), x
    )
    np.testing.assert_allclose(found, plain(model, "features", x, 1), atol=1e-6)


def test_nested_model_equals_its_flattened_twin():
    nested, flat = KINDS["nested_in_functional"], KINDS["functional"]
    x = image()
    twin = keras.Model(x, head(body(layers.Rescaling(2.0)(x))))
    twin.set_weights(nested.model.get_weights())
    inputs = flat.inputs(2)
    one, two = kx.grad_cam(nested.model), kx.grad_cam(twin)
    assert (one.explainer.layer_path, two.explainer.layer_path) == ("backbone/conv2", "conv2")
    np.testing.assert_array_equal(heatmap(one, inputs), heatmap(two, inputs))


def test_channels_first_equals_channels_last():
    def build(shape):
        x = image(*shape)
        y = layers.Conv2D(4, 3, activation="relu")(x)
        y = layers.Conv2D(6, 3, activation="relu")(layers.MaxPooling2D()(y))
        return alive(keras.Model(x, head(y)), None)

    last = build((HEIGHT, WIDTH, 3))
    with setting(keras.config.image_data_format, keras.config.set_image_data_format,
                 "channels_first"):
        first = build((3, HEIGHT, WIDTH))
    x = draw((HEIGHT, WIDTH, 3), 2)
    for builder in (kx.grad_cam, kx.saliency):
        np.testing.assert_allclose(heatmap(builder(first), np.moveaxis(x, -1, 1)),
                                   heatmap(builder(last), x), atol=1e-5)


def test_several_layers_give_one_map_each():
    model, x = KINDS["functional"].model, KINDS["functional"].inputs(2)
    maps = heatmap(kx.grad_cam(model, layer=["conv1", "conv2"], target=3, resize=False), x)
    assert {k: v.shape for k, v in maps.items()} == {"conv1": (2, 16, 12), "conv2": (2, 6, 4)}
    for name in maps:
        np.testing.assert_array_equal(
            maps[name], heatmap(kx.grad_cam(model, layer=name, target=3, resize=False), x))


def test_calls_of_a_shared_layer_differ():
    kind = KINDS["shared_layer"]
    one, two = (
        heatmap(kx.grad_cam(kind.model, layer="twice", target=1, node_index=i), kind.inputs(2))
        for i in (0, 1)
    )
    assert np.abs(one - two).max() > 0


@pytest.mark.parametrize("reshape", [None, (4, 3)])
@pytest.mark.parametrize("class_token", [True, False])
def test_tokens_become_the_grid_that_they_were_cut_from(class_token, reshape):
    """The class token in front is left out, and rows and columns are not exchanged.

    It alone is read after the last attention; a mean over the tokens reads all of them.
    """
    model = alive(vision_transformer(class_token, activation=None), None)
    x = draw((HEIGHT, WIDTH, 3), 2)
    explained = kx.grad_cam(model, target=2, reshape=reshape, resize=False)
    assert explained.explainer.layer_path == ("block2_norm1" if class_token else "norm")
    names = ("block2_norm1", "block1_add2") if class_token else ("norm", "block2_add2")
    values = [model.get_layer(name).output for name in names]
    stem, tail = keras.Model(model.input, values), keras.Model(values, model.output)
    wanted = []
    for row in range(2):
        a, side = run(stem, x[row : row + 1])
        side = ops.convert_to_tensor(side)
        g = gradient(lambda a, side=side: tail([a, side])[0, 2], a)
        a, g = (t[0, -12:].reshape(4, 3, -1) for t in (a, g))
        wanted.append(np.maximum((a * g.mean(axis=(0, 1))).sum(axis=-1), 0))
    assert np.ptp(wanted) > 0
    np.testing.assert_allclose(heatmap(explained, x), np.stack(wanted), atol=1e-5)


def test_normalization_is_asked_for():
    model, x = KINDS["functional"].model, KINDS["functional"].inputs(3)
    raw = heatmap(kx.grad_cam(model), x)
    peak = raw.max(axis=(1, 2), keepdims=True)
    low = raw.min(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(heatmap(kx.grad_cam(model, normalize="max"), x), raw / peak,
                               atol=1e-6)
    np.testing.assert_allclose(heatmap(kx.grad_cam(model, normalize="range"), x),
                               (raw - low) / (peak - low), atol=1e-6)


def test_sequences_and_volumes_equal_a_plain_gradient():
    for name in ("sequence", "volume"):
        model, x = KINDS[name].model, KINDS[name].inputs(2)
        features = model.get_layer("conv2").output
        stem = keras.Model(model.input, features)
        top = model.layers[-1]
        before = keras.Model(features, top.input)
        found = heatmap(kx.grad_cam(model, target=1, resize=False), x)
        a = run(stem, x[:1])
        g = gradient(lambda a, before=before, top=top: ops.matmul(before(a), top.kernel)[0, 1], a)
        space = tuple(range(1, a.ndim - 1))
        wanted = np.maximum((a * g.mean(axis=space, keepdims=True)).sum(axis=-1), 0)
        np.testing.assert_allclose(found[:1], wanted, atol=1e-6)
