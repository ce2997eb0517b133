"""Several fills of hidden parts: their average, and by how much they disagree."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_explain as kx
from keras_explain.engine import hiding

FILLS = ("mean", "blur", "noise", "inpaint")


def small_net(shape=(14, 12, 3), dtype="float32"):
    image = keras.Input(shape, dtype=dtype)
    x = layers.Rescaling(1 / 64)(image) if dtype == "uint8" else image
    rank, seed = len(shape) - 1, keras.initializers.GlorotUniform(seed=1)
    for _ in range(2):
        x = getattr(layers, f"Conv{rank}D")(5, 3, activation="relu", kernel_initializer=seed)(x)
    x = getattr(layers, f"GlobalAveragePooling{rank}D")()(x)
    return keras.Model(image, layers.Dense(3, kernel_initializer=seed)(x))


def images(shape=(2, 14, 12, 3), dtype="float32"):
    numbers = np.random.default_rng(0).normal(size=shape)
    return (numbers * 40 + 128).clip(0, 255).astype(dtype) if dtype == "uint8" else (
        numbers.astype(dtype))


def explain(explained, x):
    return {name: ops.convert_to_numpy(v) for name, v in explained(x).items()}


@pytest.mark.parametrize("engine", ["incremental", "full"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_the_average_and_the_spread_of_occlusion(engine, dtype):
    model, x = small_net(dtype=dtype), images(dtype=dtype)
    options = {"patch_size": 5, "stride": 3, "target": 1, "engine": engine}
    each = [explain(kx.occlusion(model, baseline=b, **options), x)["heatmap"] for b in FILLS]
    found = explain(kx.occlusion(model, baseline="several", **options), x)
    assert np.std(each, axis=0).max() > 0.1 * np.ptp(each)
    np.testing.assert_allclose(found["heatmap"], np.mean(each, axis=0), atol=1e-5)
    np.testing.assert_allclose(found["disagreement"], np.std(each, axis=0), atol=1e-5)


def test_the_average_and_the_spread_of_rise():
    model, x = small_net(), images()
    options = {"samples": 32, "target": 1, "grid": 3}
    each = [explain(kx.rise(model, baseline=b, **options), x)["heatmap"] for b in FILLS]
    found = explain(kx.rise(model, baseline="several", **options), x)
    np.testing.assert_allclose(found["heatmap"], np.mean(each, axis=0), atol=1e-5)
    np.testing.assert_allclose(found["disagreement"], np.std(each, axis=0), atol=1e-5)


@pytest.mark.parametrize("search", ["full", "adaptive"])
@pytest.mark.parametrize("shape", [(14, 12, 3), (20, 3)])
def test_engines_agree_on_inpainting(search, shape):
    model, x = small_net(shape), images((2, *shape))
    maps = [explain(kx.occlusion(model, patch_size=5, stride=3, baseline="inpaint", engine=engine,
                                 search=search, target=1), x)["heatmap"]
            for engine in ("incremental", "full")]
    np.testing.assert_allclose(*maps, atol=1e-5 * np.ptp(maps[1]) + 1e-7)


def test_inpainting_against_a_loop():
    """The weights of each pixel, written out."""
    x, sigma = images((1, 9, 7, 2)), (1.5, 2.0)
    seen = np.ones((1, 9, 7), "float32")
    seen[0, 3:6, 2:5] = 0
    got = ops.convert_to_numpy(hiding.inpaint(
        ops.convert_to_tensor(x), ops.convert_to_tensor(seen), (1, 2), sigma))
    rows, columns = np.arange(9), np.arange(7)
    for i, j in ((3, 2), (4, 3), (5, 4)):
        down, across = (np.exp(-0.5 * ((line - at) / s) ** 2)
                        for line, at, s in ((rows, i, sigma[0]), (columns, j, sigma[1])))
        # each axis is normalized at the pixel that gets the weight
        weights = np.outer(down / down.sum(), across / across.sum()) * seen[0]
        want = (weights[..., None] * x[0]).sum((0, 1)) / weights.sum()
        np.testing.assert_allclose(got[0, i, j], want, atol=2e-3)


def test_noise_has_the_statistics_of_the_picture_and_depends_on_no_neighbor():
    x = images((3, 40, 30, 2)) * [1, 5] + [0, 9]
    noise = ops.convert_to_numpy(hiding.baseline(
        ops.convert_to_tensor(x.astype("float32")), (1, 2), "noise"))
    np.testing.assert_allclose(noise.mean((1, 2)), x.mean((1, 2)), atol=0.5)
    np.testing.assert_allclose(noise.std((1, 2)), x.std((1, 2)), rtol=0.1)
    assert (noise.max((1, 2)) <= x.max((1, 2)) + 1e-5).all()
    alone = hiding.baseline(ops.convert_to_tensor(x[1:2].astype("float32")), (1, 2), "noise")
    np.testing.assert_array_equal(ops.convert_to_numpy(alone)[0], noise[1])


def test_rows_of_background_data_for_a_table():
    """A linear model: hiding a column costs its weight times the distance from the row."""
    table = keras.Sequential([keras.Input((4,)), layers.Dense(1, use_bias=False)])
    rng = np.random.default_rng(0)
    x, rows = rng.normal(size=(3, 4)).astype("float32"), rng.normal(size=(5, 4)).astype("float32")
    weights = ops.convert_to_numpy(table.layers[0].kernel)[:, 0]
    found = explain(kx.occlusion(table, baseline=rows), x)
    each = np.stack([weights * (x - row) for row in rows])
    np.testing.assert_allclose(found["heatmap"], each.mean(0), atol=1e-5)
    np.testing.assert_allclose(found["disagreement"], each.std(0), atol=1e-5)


def test_disagreement_has_the_unit_of_the_heatmap():
    model, x = small_net(), images()
    options = {"patch_size": 5, "stride": 3, "target": 1, "baseline": "several"}
    raw = explain(kx.occlusion(model, **options), x)
    scaled = explain(kx.occlusion(model, normalize="max", **options), x)
    largest = np.abs(raw["heatmap"]).max((1, 2), keepdims=True)
    np.testing.assert_allclose(scaled["disagreement"], raw["disagreement"] / largest, atol=1e-5)


def test_saving(tmp_path):
    explained = kx.occlusion(small_net(), patch_size=5, stride=3, baseline="several")
    explained.save(tmp_path / "explained.keras")
    loaded = keras.saving.load_model(tmp_path / "explained.keras")
    wanted, found = explain(explained, images()), explain(loaded, images())
    np.testing.assert_allclose(found["disagreement"], wanted["disagreement"], atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch cannot export")
def test_export(tmp_path):
    tf = pytest.importorskip("tensorflow")
    explained = kx.occlusion(small_net(), patch_size=5, stride=3, baseline="several")
    kx.export(explained, tmp_path / "1")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["explain"](
        tf.convert_to_tensor(images()))
    np.testing.assert_allclose(served["disagreement"], explain(explained, images())["disagreement"],
                               atol=1e-5)


def test_fills_that_are_none():
    table = keras.Sequential([keras.Input((5,)), layers.Dense(2)])
    with pytest.raises(ValueError, match='rows of your data.*received .several'):
        kx.occlusion(table, baseline="several")
    with pytest.raises(ValueError, match="Expected `baseline`.*received an array"):
        kx.occlusion(small_net(), patch_size=4, baseline=np.zeros((2, 3, 3, 3)))
    with pytest.raises(ValueError, match="Expected `baseline` to be one of"):
        kx.integrated_gradients(small_net(), baseline="several")


def test_the_score_of_a_metric_is_averaged_over_the_fills():
    model, x = small_net(), images()
    maps = np.random.default_rng(1).random((2, 14, 12)).astype("float32")
    options = {"target": 1, "steps": 5, "score": "logit"}
    each = [kx.metrics.deletion_curve(model, x, maps, baseline=b, **options).scores for b in FILLS]
    found = kx.metrics.deletion_curve(model, x, maps, baseline="several", **options).scores
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-5)
