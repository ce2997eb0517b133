"""A concept that the class is computed from, by construction, is found and is most important."""

import warnings

import keras
import models
import numpy as np
import pytest

from keras_explain.concepts import craft
from keras_explain.concepts._layer import ConceptLayer
from keras_explain.concepts._sobol import design, total_indices
from keras_explain.explainers._cam import AttendedMapWarning

SIDE, RED, GREEN, BLUE = 24, 0, 1, 2


def draw(count, seed=0):
    """Noise with a red, a green and a blue square of 6 x 6, each in a third of its own."""
    rng = np.random.default_rng(seed)
    x = (0.05 * rng.random((count, SIDE, SIDE, 3))).astype("float32")
    corners = np.stack([rng.integers(0, 18, (count, 3)), rng.integers(0, 2, (count, 3))
                        + 8 * np.array([0, 1, 2])], axis=2)
    for i, c in np.ndindex(count, 3):
        top, left = corners[i, c]
        x[i, top : top + 6, left : left + 6, c] = 1
    return x, corners


def net(weights, data_format="channels_last"):
    """Logits are weighted means of color over the places: weights (colors, classes)."""
    shape = (SIDE, SIDE, 3) if data_format == "channels_last" else (3, SIDE, SIDE)
    layers = keras.layers
    model = keras.Sequential([
        keras.Input(shape), layers.Conv2D(3, 3, padding="same", activation="relu", name="color",
                                          data_format=data_format),
        layers.GlobalAveragePooling2D(data_format=data_format),
        layers.Dense(len(weights[0]), activation="softmax", use_bias=False)])
    kernel = np.zeros((3, 3, 3, 3))
    kernel[1, 1] = np.eye(3)
    model.layers[0].set_weights([kernel, np.full(3, -0.05)])
    model.layers[-1].set_weights([np.array(weights, "float32")])
    return model


MODEL = [[40, 0], [0, 0], [0, 20]]  # class 0 asks for red, class 1 for blue, none for green


def test_a_planted_concept_is_found_first():
    x, corners = draw(20)
    found = craft(net(MODEL), x, target=0, count=3, crops=20, verbose=0)
    assert found.directions[0].argmax() == RED
    assert found.directions[0][RED] > 0.99
    assert found.importance[0] > 0.95
    assert found.importance[1:].max() < 0.05
    assert found.explained.min() > 0.99
    assert (found.crops[0].mean(axis=(0, 1, 2)).argmax()) == RED
    maps = found.heatmaps(0)
    assert maps.shape == (20, SIDE, SIDE)
    for i in range(20):
        top, left = corners[i, RED]
        assert maps[i, top : top + 6, left : left + 6].sum() > 0.95 * maps[i].sum()


def test_the_other_class_finds_the_other_concept():
    found = craft(net(MODEL), draw(12)[0], target=1, count=3, crops=20, verbose=0)
    assert found.directions[0].argmax() == BLUE and found.importance[0] > 0.95


def test_importance_is_the_closed_form_of_a_linear_head():
    """Coefficients c of a linear head: total indices are c**2 / sum(c**2), image by image."""
    x, _ = draw(10, 3)
    model = net([[30, 0], [20, 0], [10, 0]])
    found = craft(model, x, target=0, count=3, crops=20, samples=1024, verbose=0)
    head = model.layers[-1].get_weights()[0][:, 0]
    parts = found.coefficients.mean(axis=(1, 2)) * (found.directions @ head)
    shares = parts**2 / (parts**2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.importance, shares.mean(axis=0), atol=0.03)
    assert found.directions.argmax(axis=1).tolist() == [RED, GREEN, BLUE]


def test_total_indices_of_known_functions():
    """Ishigami's function (Saltelli et al. 2008): 0.5576, 0.4424, 0.2437."""
    points = design(3, 4096, 0)
    z = np.pi * (2 * points - 1)
    ishigami = np.sin(z[:, 0]) + 7 * np.sin(z[:, 1]) ** 2 + 0.1 * z[:, 2] ** 4 * np.sin(z[:, 0])
    np.testing.assert_allclose(total_indices(ishigami, 3), [0.5576, 0.4424, 0.2437], atol=0.02)
    linear = points @ [3.0, 4.0, 0.0]
    np.testing.assert_allclose(total_indices(np.stack([linear, 0 * linear + 7]), 3),
                               [[0.36, 0.64, 0], [0, 0, 0]], atol=0.01)


def test_the_class_is_found_and_the_model_stays():
    x, _ = draw(6)
    model = net(MODEL)
    before = [w.copy() for w in model.get_weights()]
    found = craft(model, x, count=3, verbose=0)
    assert found.target == 0 and found.layer.endswith("color")
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_nothing_depends_on_the_batch_size_and_seeds_repeat():
    x, _ = draw(7)
    one, two = (craft(net(MODEL), x, target=0, count=3, batch_size=size, verbose=0)
                for size in (5, 64))
    np.testing.assert_allclose(one.importance, two.importance, atol=1e-5)
    np.testing.assert_allclose(one.heatmaps(0), two.heatmaps(0), atol=1e-4)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow",
                    reason="TensorFlow has no channels-first convolution on processors")
def test_channels_first():
    x, _ = draw(8)
    first = np.moveaxis(x, -1, 1)
    found = craft(net(MODEL, "channels_first"), first, target=0, count=3, crops=20, verbose=0)
    last = craft(net(MODEL), x, target=0, count=3, crops=20, verbose=0)
    np.testing.assert_allclose(found.importance, last.importance, atol=1e-3)


@pytest.mark.parametrize("name", [
    "functional", "nested_in_functional", "skip_around_the_layer", "sigmoid_of_one_unit",
    "transformer_with_class_token", "transformer_without_class_token", "uint8_image", "grayscale",
    "grayscale_without_channel_axis", "mixed_float16", "subclassed_opaque"])
def test_any_model_of_one_image(name):
    """With all of each concept the score is the model's own; what has nothing to cut says so."""
    kind = models.KINDS[name]
    x = kind.inputs(4)
    options = {k: v for k, v in kind.options.items() if k == "layer"}
    if isinstance(kind.cam, str):
        with pytest.raises(ValueError, match="Expected"):
            craft(kind.model, x, count=2, samples=4, verbose=0, **options)
        return
    options |= {k: v for k, v in (kind.cam or {}).items() if k == "layer"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AttendedMapWarning)
        inside = ConceptLayer(kind.model, options.get("layer"), 1, x, 4)
        found = craft(kind.model, x, target=1, count=2, samples=4, verbose=0, **options)
    count = len(found.importance)
    score = inside.make_score(found.directions, found.coefficients.shape[1:3])
    answers = score(x, found.coefficients, np.stack([[[1.0] * count, [0.0] * count]] * 4))
    logits = inside.question.scores(*map(keras.ops.convert_to_tensor, (
        inside.reading(x)["logits"], inside.reading(x)["predictions"])))
    np.testing.assert_allclose(answers[:, 0], keras.ops.convert_to_numpy(logits)[:, 1],
                               rtol=1e-2 if "16" in name else 1e-4, atol=1e-4)
    assert np.abs(answers[:, 1] - answers[:, 0]).max() > 0
    assert found.heatmaps(0).shape == x.shape[:3] and np.isfinite(found.importance).all()


def test_what_is_no_image_or_shows_nothing_is_refused():
    x, _ = draw(4)
    with pytest.raises(ValueError, match="Expected activations above zero at layer"):
        craft(net(MODEL), np.zeros_like(x), target=0, verbose=0)
    with pytest.raises(ValueError, match="Expected `patch_size` to fit"):
        craft(net(MODEL), x, target=0, patch_size=99, verbose=0)
    with pytest.raises(ValueError, match="Expected images of shape"):
        craft(net(MODEL), np.zeros((0, SIDE, SIDE, 3)), verbose=0)
    a, b = keras.Input((SIDE, SIDE, 3)), keras.Input((2,))
    both = keras.layers.Concatenate()([keras.layers.Flatten()(
        keras.layers.Conv2D(2, 3, activation="relu", name="seen")(a)), b])
    with pytest.raises(ValueError, match="takes one image"):
        craft(keras.Model([a, b], keras.layers.Dense(2)(both)), x, target=0, layer="seen",
              verbose=0)
