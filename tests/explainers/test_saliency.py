import keras
import numpy as np
import pytest
from autodiff import differences, gradient
from keras import layers, ops
from models import HEIGHT, KINDS, WIDTH, alive, draw, head, image
from running import heatmap, run

import keras_explain as kx


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_numbers_on_paper(channels):
    """score = sum of weight * x: the gradient is the weight."""
    model = keras.Sequential([keras.Input((2, 3, channels)), layers.Flatten(), layers.Dense(2)])
    kernel = np.random.default_rng(0).normal(size=(6 * channels, 2)).astype("float32")
    model.set_weights([kernel, np.ones(2, "float32")])
    x = draw((2, 3, channels), 2)
    weights = kernel[:, 1].reshape(2, 3, channels)
    np.testing.assert_allclose(heatmap(kx.saliency(model, target=1), x)[1],
                               np.abs(weights).max(axis=-1), rtol=1e-6)
    np.testing.assert_allclose(heatmap(kx.saliency(model, target=1, signed=True), x)[1],
                               weights.sum(axis=-1), rtol=1e-5, atol=1e-6)


def smooth():
    x = image()
    y = layers.Conv2D(4, 3, activation="tanh")(x)
    y = layers.Conv2D(5, 3, strides=2, activation="gelu")(y)
    return alive(keras.Model(x, head(y, activation=None)), None)


def test_equals_a_plain_gradient():
    model, x = smooth(), draw((HEIGHT, WIDTH, 3), 2)
    found = heatmap(kx.saliency(model, target=2), x)
    for row in range(2):
        wanted = gradient(lambda x: model(x)[0, 2], x[row : row + 1])
        np.testing.assert_allclose(found[row], np.abs(wanted[0]).max(axis=-1), rtol=1e-4,
                                   atol=1e-7)


def test_equals_finite_differences():
    model, x = smooth(), draw((HEIGHT, WIDTH, 3), 1)
    found = heatmap(kx.saliency(model, target=0, signed=True), x)[0]
    pixels = [(3, 5), (10, 2), (0, 11), (15, 0), (7, 7)]
    places = [[(0, *p, c) for p in pixels] for c in range(3)]
    wanted = sum(differences(lambda x: run(model, x)[0, 0], x, some) for some in places)
    np.testing.assert_allclose([found[p] for p in pixels], wanted, rtol=2e-2, atol=2e-4)


def test_grayscale_without_channel_axis_equals_the_one_with():
    one, two = KINDS["grayscale"], KINDS["grayscale_without_channel_axis"]
    x = one.inputs(2)
    np.testing.assert_allclose(heatmap(kx.saliency(two.model), x[..., 0]),
                               heatmap(kx.saliency(one.model), x), atol=1e-6)


def test_integer_image_has_the_gradient_of_its_float_copy():
    """In units of the score per gray level."""
    x = draw(KINDS["uint8_image"].model.input, 2)
    found = heatmap(kx.saliency(KINDS["uint8_image"].model), x)
    same = keras.Input((HEIGHT, WIDTH, 3))
    y = same
    for layer in KINDS["uint8_image"].model.layers[1:]:
        y = layer(y)
    wanted = heatmap(kx.saliency(keras.Model(same, y)), x.astype("float32"))
    assert wanted.max() > 0
    np.testing.assert_allclose(found, wanted, atol=1e-8, rtol=1e-5)


def test_tokens_are_differentiated_at_their_embedding():
    kind = KINDS["tokens"]
    x = kind.inputs(2)
    found = heatmap(kx.saliency(kind.model, target=1), x)
    embedding = kind.model.get_layer("embedding")
    table = ops.convert_to_numpy(embedding.embeddings)
    top = kind.model.layers[-1]

    def logit(points, row):
        y = kind.model.get_layer("norm")(kind.model.get_layer("dense")(points))
        mask = ops.cast(x[row] != 0, "float32")[None, :, None]
        return ops.matmul(ops.sum(y * mask, axis=1) / ops.sum(mask), top.kernel)[0, 1]

    for row in range(2):
        wanted = gradient(lambda p, row=row: logit(p, row), table[x[row]][None])
        np.testing.assert_allclose(found[row], np.linalg.norm(wanted[0], axis=-1), atol=1e-6)
    assert not found[:, -2:].any() and found[:, :-2].all()  # padding


def test_image_and_table_get_a_map_each():
    kind = KINDS["inputs_dict"]
    inputs = kind.inputs(1)
    maps = heatmap(kx.saliency(kind.model, target=1, signed=True), inputs)
    model, top = kind.model, kind.model.layers[-1]
    before = keras.Model(model.inputs, top.input)

    def logit(columns):
        given = {"picture": ops.convert_to_tensor(inputs["picture"]), "table": columns}
        return ops.matmul(before([given[x.name] for x in model.inputs]), top.kernel)[0, 1]

    wanted = gradient(logit, inputs["table"])
    np.testing.assert_allclose(maps["table"], wanted, atol=1e-6)
    only = kx.saliency(model, target=1, signed=True, input="table")
    np.testing.assert_allclose(heatmap(only, inputs), wanted, atol=1e-6)


@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_follows_float32(name):
    single, half = KINDS["functional"], KINDS[name]
    x = single.inputs(3)
    one, two = (heatmap(kx.saliency(k.model, target=1), x).ravel() for k in (single, half))
    assert np.corrcoef(one, two)[0, 1] > 0.99


def test_small_gradients_do_not_vanish_in_float16():
    """Smaller than float16's smallest number: a mean over many pixels of a deep network."""
    with_policy = keras.Sequential([
        keras.Input((64, 64, 1)),
        layers.Conv2D(2, 1, dtype="mixed_float16"),
        layers.Lambda(lambda x: x * 1e-3, dtype="float16"),
        layers.GlobalAveragePooling2D(dtype="mixed_float16"),
        layers.Dense(1, dtype="float32"),
    ])
    with_policy.set_weights([np.full(w.shape, 0.2, "float32") for w in with_policy.get_weights()])
    found = heatmap(kx.saliency(with_policy), draw((64, 64, 1), 1))
    np.testing.assert_allclose(found, 2 * 0.2 * 1e-3 * 0.2 / 4096, rtol=0.02)
