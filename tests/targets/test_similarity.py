"""How alike two embeddings are: closed forms, planted causes, and errors."""

import keras
import numpy as np
import pytest
from keras import layers
from running import heatmap, run

import keras_explain as kx
from keras_explain.targets import Similarity

MEASURES = {
    "cosine": lambda a, b: (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(
        b, axis=-1),
    "dot": lambda a, b: (a * b).sum(-1),
    "euclidean": lambda a, b: -np.linalg.norm(a - b, axis=-1)}

QUARTERS = np.arange(8)[:, None] // 4 * 2 + np.arange(6) // 3


def embedding():
    keras.utils.set_random_seed(1)
    return keras.Sequential([
        keras.Input((8, 6, 2)), layers.Conv2D(4, 3, activation="gelu"), layers.Flatten(),
        layers.Dense(5)])


def towers():
    tower = embedding()
    inputs = {name: keras.Input((8, 6, 2), name=name) for name in ("left", "right")}
    return keras.Model(inputs, {f"of_{name}": tower(x) for name, x in inputs.items()})


def pictures(seed=0):
    return np.random.default_rng(seed).random((2, 8, 6, 2), "float32")


@pytest.mark.parametrize("measure", MEASURES)
def test_occlusion_is_the_drop_of_the_likeness(measure):
    model, x = embedding(), pictures()
    other = run(model, pictures(1))[0]
    found = heatmap(kx.occlusion(model, target=Similarity(other, measure), patch_size=1, stride=1,
                                 baseline=0.0), x)
    hidden = x.copy()
    hidden[:, 4, 3] = 0
    ask = MEASURES[measure]
    np.testing.assert_allclose(
        found[:, 4, 3], ask(run(model, x), other) - ask(run(model, hidden), other), atol=1e-5)


def test_both_pictures_of_two_towers_are_explained():
    model, x, y = towers(), pictures(), pictures(1)
    explained = kx.saliency(model, target=Similarity("of_right"), output="of_left", signed=True)
    found = heatmap(explained, {"left": x, "right": y})
    for name, own, other in (("left", x, y), ("right", y, x)):
        for i in range(2):
            alone = kx.saliency(embedding(), target=Similarity(run(embedding(), other)[i]),
                                signed=True)
            np.testing.assert_allclose(
                found[name][i], heatmap(alone, own[i : i + 1])[0], atol=1e-6)


def test_what_two_pictures_share_makes_them_alike():
    """An embedding of the brightness of four quarters; one is bright in both pictures."""
    model = keras.Sequential([
        keras.Input((8, 8, 1)), layers.AveragePooling2D(4), layers.Flatten()])
    x, y = np.full((2, 1, 8, 8, 1), 0.1, "float32")
    x[:, :4, :4], y[:, :4, :4] = 1, 1
    x[:, 4:, :4], y[:, 4:, 4:] = 1, 1  # bright in one of them
    found = heatmap(kx.occlusion(model, target=Similarity(run(model, y)[0]), patch_size=4,
                                 stride=4, baseline=0.1), x)[0]
    assert found[0, 0] == found.max() > 0 > found[7, 0]


def test_it_is_saved_and_lime_finds_it(tmp_path):
    model, x = embedding(), pictures()
    target = Similarity(run(model, pictures(1))[0])
    explained = kx.integrated_gradients(model, target=target)
    explained.save(tmp_path / "explained.keras")
    again = keras.models.load_model(tmp_path / "explained.keras")
    np.testing.assert_allclose(heatmap(again, x), heatmap(explained, x), atol=1e-6)
    found = kx.LimeImageExplainer(model, segments=QUARTERS, baseline=0.0).explain(
        x[0], target=target, samples=16, verbose=0)
    wanted = MEASURES["cosine"](run(model, x)[0], np.array(target.reference))
    np.testing.assert_allclose(found.prediction, wanted, atol=1e-5)
    config = keras.saving.serialize_keras_object(target)
    assert keras.saving.deserialize_keras_object(config) == target


@pytest.mark.parametrize("target, error, message", [
    (lambda: Similarity(["a"]), TypeError, "an embedding, numbers"),
    (lambda: Similarity(np.ones((2, 5))), ValueError, r"one embedding.*\(2, 5\)"),
    (lambda: Similarity(np.zeros(5)), ValueError, "to have a direction"),
    (lambda: Similarity([1, np.nan]), ValueError, "to have a direction"),
    (lambda: Similarity(np.ones(5), "angle"), ValueError, "`measure` to be one of"),
    (lambda: Similarity(np.ones(4)), ValueError, r"shape \(N, 4\).*\(None, 5\)"),
    (lambda: Similarity("right"), ValueError, "received 'right'"),
])
def test_errors_before_anything_is_computed(target, error, message):
    with pytest.raises(error, match=message):
        kx.saliency(embedding(), target=target())
