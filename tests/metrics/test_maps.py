"""Metrics of heatmaps alone, max-sensitivity, LIME's figures, and the registry."""

import functools
import types

import keras
import nets
import numpy as np
import pytest

import keras_explain as kx
from keras_explain import metrics
from keras_explain.metrics import registry


def test_complexity_and_sparseness_of_known_maps():
    one, flat = np.zeros((4, 5)), np.ones((4, 5))
    one[1, 2] = -3
    entropy = metrics.complexity(np.stack([one, flat, 0 * one]))
    np.testing.assert_allclose(entropy, [0, np.log(20), np.nan], atol=1e-9)
    gini = metrics.sparseness(np.stack([one, flat, 0 * one]))
    np.testing.assert_allclose(gini, [19 / 20, 0, np.nan], atol=1e-9)


def test_gini_is_the_mean_difference():
    values = np.abs(nets.maps(1, (3, 4)))
    flat = values.ravel().astype("float64")
    expected = np.abs(flat[:, None] - flat[None]).mean() / (2 * flat.mean())
    np.testing.assert_allclose(metrics.sparseness(values), [expected], rtol=1e-6)


def test_pointing_games():
    maps = np.zeros((3, 8, 10))
    maps[0, 2, 3], maps[1, 7, 9], maps[2] = 5, 5, -1
    maps[1, 2, 3] = 1
    boxes = [(0, 0, 4, 5)] * 3
    np.testing.assert_allclose(metrics.pointing_game(maps, boxes), [1, 0, 20 / 80])
    np.testing.assert_allclose(metrics.pointing_game(maps, boxes, tolerance=7)[1], 1)
    energy = metrics.energy_pointing_game(maps, boxes)
    np.testing.assert_allclose(energy, [1, 1 / 6, np.nan])
    masks = np.zeros((3, 8, 10), bool)
    masks[:, :4, :5] = True
    np.testing.assert_allclose(metrics.energy_pointing_game(maps, masks), energy)
    several = [[(0, 0, 4, 5), (7, 9, 8, 10)]] * 3
    np.testing.assert_allclose(metrics.energy_pointing_game(maps, several), [1, 1, np.nan])


@pytest.mark.parametrize("regions, words", [
    ([(0, 0, 2, 2)], "Expected 2 regions"),
    ([(0, 0, 2, 2), (5, 5, 5, 6)], "received an empty one"),
    ([(0, 0, 2), (5, 5, 5)], "boxes of 4 numbers"),
])
def test_region_errors(regions, words):
    with pytest.raises(ValueError, match=words):
        metrics.pointing_game(np.ones((2, 8, 8)), regions)


def test_max_sensitivity_of_a_quadratic_model():
    """The gradient of sum(x^2) / 2 is x: the map moves exactly with the noise."""
    image = keras.Input((4, 4, 1))
    score = keras.ops.sum(keras.ops.square(image), axis=(1, 2, 3))[:, None] / 2
    explained = kx.saliency(keras.Model(image, score), signed=True)
    x = nets.pictures(3, (4, 4), 1)
    found = metrics.max_sensitivity(explained, x, radius=0.1, samples=6, seed=3)
    noise = np.random.default_rng(3).uniform(-0.1, 0.1, (6, 4, 4, 1))
    span = x.max((1, 2, 3)) - x.min((1, 2, 3))
    largest = np.linalg.norm(noise.reshape(6, -1), axis=1).max()
    expected = largest * span / np.linalg.norm(x.reshape(3, -1), axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    part = metrics.max_sensitivity(explained, x[1:2], radius=0.1, samples=6, seed=3, batch_size=2)
    np.testing.assert_allclose(part, found[1:2], rtol=1e-3)


def test_max_sensitivity_of_a_linear_model_is_zero():
    model, _ = nets.linear()
    x = nets.pictures(2, (6, 5), 2)
    np.testing.assert_allclose(metrics.max_sensitivity(kx.saliency(model), x), 0, atol=1e-6)
    with pytest.raises(TypeError, match="Expected an explained model"):
        metrics.max_sensitivity(model, x)


def test_lime_figures_pass_through():
    explanation = types.SimpleNamespace(
        fidelity=np.array([0.9, 0.8]), held_out_fidelity=np.array([0.7, 0.6]),
        stability=np.array([0.5, 0.4]), row=lambda label: 0 if label is None else label)
    assert metrics.fidelity(explanation) == [0.7]
    assert metrics.fidelity([explanation] * 2, target=1, held_out=False).tolist() == [0.8, 0.8]
    assert metrics.stability(explanation, target=1) == [0.4]
    with pytest.raises(TypeError, match="LIME explanations, received int"):
        metrics.stability(3)


def test_meter_gives_plain_numbers_and_follows_training():
    model, x = nets.convolutional(), nets.pictures(4)
    explained = kx.grad_cam(model)
    steps = functools.partial(metrics.insertion, steps=4)
    meter = metrics.Meter(explained, ["deletion", steps, "complexity"])
    maps = keras.ops.convert_to_numpy(explained(x)["heatmap"])
    found = meter(x, maps)
    assert list(found) == ["deletion", "insertion", "complexity"]
    assert all(isinstance(v, float) for v in found.values())
    assert found["insertion"] == pytest.approx(
        float(metrics.insertion(explained, x, steps=4).mean()), abs=1e-6)
    model.get_layer("top").kernel.assign(-model.get_layer("top").kernel)
    assert meter(x, maps)["deletion"] != pytest.approx(found["deletion"], abs=1e-4)


def test_logged_speaks_as_the_callback_does():
    model, x = nets.convolutional(), nets.pictures(4)
    explained = kx.grad_cam(model, resize=False)
    maps = keras.ops.convert_to_numpy(explained(x)["heatmap"])
    columns = {"": types.SimpleNamespace(maps=maps, weights=None)}
    found = metrics.logged("deletion", "sparseness")
    numbers = found["deletion"](explained, x, columns)
    np.testing.assert_allclose(numbers, metrics.deletion(explained, x, steps=20), atol=1e-6)
    assert found["sparseness"](explained, x, columns).shape == (4,)


@pytest.mark.parametrize("metrics_, words", [
    (["insertoin"], "Did you mean one of \\['insertion'"),
    (["max_sensitivity"], "metrics that need the model"),
    ([np.mean], "Expected a metric by name"),
])
def test_meter_errors(metrics_, words):
    with pytest.raises(ValueError, match=words):
        metrics.Meter(nets.convolutional(), metrics_)


def test_every_metric_says_what_one_must_know():
    for metric in registry.METRICS.values():
        for words in ("Reference:", "Direction:", "Cost:", "Weakness:"):
            assert words in metric.function.__doc__, (metric.name, words)
        direction = metric.function.__doc__.split("Direction:")[1][:20]
        assert ("lower" in direction) == (metric.best == "lower"), metric.name
