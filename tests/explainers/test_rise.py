import by_hand
import keras
import numpy as np
import pytest
from keras import layers, ops
from scipy.stats import qmc

import keras_explain as kx

MASKS, GRID, PROBABILITY, SEED = 16, (3, 2), 0.4, 5


def masks(sampling):
    """Masks as the paper makes them: enlarged by one cell too many, then cropped at random."""
    count = GRID[0] * GRID[1]
    if sampling == "sobol":
        points = qmc.Sobol(count + 2, rng=SEED).random(MASKS)
    else:
        points = np.random.default_rng(SEED).random((MASKS, count + 2))
    shape = by_hand.HEIGHT, by_hand.WIDTH
    pitch = [int(np.ceil(n / g)) for n, g in zip(shape, GRID, strict=True)]
    found = []
    for point in points:
        cells = (point[:count] < PROBABILITY).reshape(GRID).astype(float)
        large = by_hand.stretch(cells, [(g + 1) * p for g, p in zip(GRID, pitch, strict=True)])
        top, left = (int(s * p) for s, p in zip(point[count:], pitch, strict=True))
        found.append(large[top : top + shape[0], left : left + shape[1]])
    return np.stack(found)


def wanted(batch, estimator, sampling):
    _, twin = by_hand.network()
    found, shown = [], masks(sampling)
    for image in batch:
        index = twin.top_class(image)
        scores = np.array([twin.probabilities(image * m[:, :, None])[index] for m in shown])
        if estimator == "paper":
            found.append(np.einsum("k,kyx->yx", scores, shown) / MASKS / PROBABILITY)
        else:
            spread = (scores - scores.mean()) / PROBABILITY / (1 - PROBABILITY)
            found.append(np.einsum("k,kyx->yx", spread, shown) / MASKS)
    return np.stack(found)


@pytest.mark.parametrize("batch_size", [5, 64])
@pytest.mark.parametrize("sampling", ["sobol", "bernoulli"])
@pytest.mark.parametrize("estimator", ["centered", "paper"])
def test_is_the_weighted_mean_of_the_masks(estimator, sampling, batch_size):
    batch = by_hand.images(3)
    found = by_hand.explain(
        kx.rise, batch, score="probability", samples=MASKS, grid=GRID, probability=PROBABILITY,
        estimator=estimator, sampling=sampling, seed=SEED, batch_size=batch_size, baseline="zero")
    by_hand.close(found, wanted(batch, estimator, sampling))


def test_finds_the_weights_of_a_linear_model():
    """Visible minus hidden is the weight of a column times its distance from the baseline."""
    model = keras.Sequential([keras.Input((5,)), layers.Dense(1, use_bias=False)])
    x = np.random.default_rng(0).normal(size=(2, 5)).astype("float32")
    found = kx.rise(model, samples=1024, baseline=0.5, score="logit")(x)["heatmap"]
    kernel = ops.convert_to_numpy(model.layers[0].kernel)[:, 0]
    np.testing.assert_allclose(ops.convert_to_numpy(found), (x - 0.5) * kernel, atol=0.05)


def test_sobol_and_centering_need_fewer_masks():
    """Against a long run: the same map from fewer masks than the paper's estimator needs."""
    model, _ = by_hand.network()
    image = by_hand.images(1)
    long = kx.rise(model, samples=4096, grid=3, batch_size=512, score="probability")
    truth = ops.convert_to_numpy(long(image)["heatmap"]).ravel()

    def correlation(**options):
        found = []
        for seed in range(3):
            explained = kx.rise(model, grid=3, samples=128, seed=seed, batch_size=128,
                                score="probability", **options)
            found.append(np.corrcoef(ops.convert_to_numpy(explained(image)["heatmap"]).ravel(),
                                     truth)[0, 1])
        return np.mean(found)

    best = correlation()
    assert best > 0.95
    assert best > correlation(estimator="paper", sampling="bernoulli") + 0.1


def test_a_model_that_does_not_react_gives_a_blank_map():
    model = keras.Sequential([keras.Input((8, 6, 1)), layers.Flatten(),
                              layers.Dense(2, kernel_initializer="zeros", activation="softmax")])
    for estimator in ("centered", "paper"):
        with pytest.warns(kx.BlankHeatmapWarning):
            out = kx.rise(model, samples=16, grid=3, estimator=estimator)(np.ones((2, 8, 6, 1)))
        assert not ops.convert_to_numpy(out["heatmap"]).any()


@pytest.mark.parametrize("options, words", [
    ({"samples": 0}, "Expected `samples` to be an integer of at least 1"),
    ({"probability": 1.0}, "Expected `probability`"),
    ({"estimator": "best"}, "Expected `estimator` to be one of"),
    ({"sampling": "halton"}, "Expected `sampling` to be one of"),
    ({"grid": (2, 2, 2)}, "Expected one `grid`, or 2"),
    ({"grid": 0}, "Expected `grid` to be an integer of at least 1"),
    ({"grid": 3.5}, "Expected `grid` to be an integer of at least 1, or one per axis"),
    ({"seed": 1.5}, "Expected `seed` to be an integer of at least 0, received 1.5"),
    ({"baseline": "gray"}, "Expected `baseline` to be one of"),
])
def test_errors(options, words):
    with pytest.raises(ValueError, match=words):
        kx.rise(by_hand.network()[0], **options)
