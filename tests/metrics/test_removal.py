"""Average drop, completeness, sensitivity-n and infidelity on models whose answer is known."""

import keras
import nets
import numpy as np
import pytest

import keras_explain as kx
from keras_explain import metrics
from keras_explain.metrics import removal


@pytest.fixture(scope="module")
def case():
    model, w = nets.linear()
    x = nets.pictures(3, (6, 5), 2)
    return model, x, (w * x).sum(-1)


@pytest.mark.parametrize("patch_size", [None, 1, 2])
def test_exact_contributions_correlate_fully(case, patch_size):
    found = metrics.sensitivity_n(*case, baseline="zero", patch_size=patch_size, samples=30)
    np.testing.assert_allclose(found, 1, atol=1e-5)
    model, x, maps = case
    opposite = metrics.sensitivity_n(model, x, -maps, baseline="zero", samples=30)
    np.testing.assert_allclose(opposite, -1, atol=1e-5)


def test_exact_contributions_have_no_infidelity(case):
    model, x, maps = case
    assert metrics.infidelity(*case, baseline="zero", scale="raw").max() < 1e-10
    np.testing.assert_allclose(
        metrics.infidelity(model, x, 3 * maps, baseline="zero"), 0, atol=1e-10)
    assert metrics.infidelity(model, x, 3 * maps, baseline="zero", scale="raw").min() > 0.1


def test_equal_a_loop():
    model, x, maps = nets.convolutional(), nets.pictures(2), nets.maps(2)
    top = keras.ops.convert_to_numpy(model(x)).argmax(-1)

    def score(image, unit):
        return float(keras.ops.convert_to_numpy(model(image[None]))[0, unit])

    masks = removal._boxes((10, 12), 12, None, 0), removal._cells((10, 12), 12, (0.3, 2), 0)
    rows = []
    for kind in masks:
        sums = np.array([[m[mask].sum() for mask in kind] for m in maps])
        drops = [[score(image, t) - score(np.where(mask[..., None], 0, image), t)
                  for mask in kind] for image, t in zip(x, top, strict=True)]
        rows.append((sums, np.array(drops)))
    options = {"baseline": "zero", "score": "probability", "samples": 12}
    (sums, drops), (sums_n, drops_n) = rows
    found = metrics.infidelity(model, x, maps, scale="raw", **options)
    np.testing.assert_allclose(found, ((sums - drops) ** 2).mean(1), rtol=1e-4)
    found = metrics.sensitivity_n(model, x, maps, share=0.3, patch_size=2, **options)
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(sums_n, drops_n, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_masks():
    cells = removal._cells((10, 12), 50, (0.25, 2), 0)
    assert cells.shape == (50, 10, 12)
    assert (cells.sum((1, 2)) == 4 * round(0.25 * 30)).all()
    boxes = removal._boxes((10, 12), 2000, 4, 0)
    assert {int(n) for n in boxes.sum((1, 2))} == {1, 4, 9, 16}
    assert boxes.any(0).all()  # every pixel is hidden in some sample
    assert removal._boxes((7,), 5, None, 0).shape == (5, 7)


@pytest.mark.parametrize("metric", [metrics.sensitivity_n, metrics.infidelity])
def test_seed_batch_size_and_neighbors(metric):
    model, x, maps = nets.convolutional(), nets.pictures(4), nets.maps(4)
    found = metric(model, x, maps, samples=9)
    np.testing.assert_allclose(metric(model, x, maps, samples=9, batch_size=5), found, rtol=1e-3)
    np.testing.assert_allclose(metric(model, x[3:], maps[3:], samples=9), found[3:], rtol=1e-3)
    assert np.abs(metric(model, x, maps, samples=9, seed=1) - found).max() > 1e-6


def test_constant_map_says_nothing():
    model, x = nets.convolutional(), nets.pictures(2)
    assert np.isnan(metrics.sensitivity_n(model, x, np.zeros((2, 10, 12)), samples=5)).all()


def test_completeness_of_integrated_gradients_and_of_a_linear_model(case):
    assert metrics.completeness(*case, baseline="zero").max() < 1e-5
    model = nets.convolutional()
    x = nets.pictures(3)
    maps = kx.integrated_gradients(model, steps=200, baseline="zero")(x)["heatmap"]
    maps = keras.ops.convert_to_numpy(maps)
    assert metrics.completeness(model, x, maps).max() < 0.01
    assert metrics.completeness(model, x, 2 * maps).max() > 0.1


def test_average_drop_on_paper():
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(),
                              keras.layers.Dense(1)])
    model.layers[-1].set_weights([np.array([[4.0], [2.0], [0.0], [-1.0]]), np.zeros(1)])
    x = np.ones((3, 2, 2, 1))
    maps = np.array([[[2, 0], [0, 0]], [[1, 1], [0, -5]], [[2, 1], [2, 2]]], "float32")
    drop = metrics.average_drop(model, x, maps, baseline="zero")  # 5 becomes 4, 6 and 4
    np.testing.assert_allclose(drop, [0.2, 0.0, 0.2], atol=1e-6)
    rise = metrics.increase_in_confidence(model, x, maps, baseline="zero")
    np.testing.assert_array_equal(rise, [0, 1, 0])


def test_errors():
    model, x, maps = nets.convolutional(), nets.pictures(2), nets.maps(2)
    with pytest.raises(ValueError, match="`share` between 0 and 1"):
        metrics.sensitivity_n(model, x, maps, share=20)
    with pytest.raises(ValueError, match="`scale` to be one of"):
        metrics.infidelity(model, x, maps, scale="mean")
