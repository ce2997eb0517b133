"""The benchmark with a planted cause: the plant is what it claims, and methods find it."""

import functools
import importlib.util
import pathlib

import keras
import numpy as np
import pytest

import keras_explain as kx

PATH = pathlib.Path(__file__).parents[1] / "benchmarks" / "known_answer.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("known_answer", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hidden(x, boxes):
    x = x.copy()
    for image, (top, left, bottom, right) in zip(x, boxes, strict=True):
        image[top:bottom, left:right] = 0.5
    return x


def test_only_the_cause_decides(benchmark):
    x, y, causes, decoys = benchmark.dataset(40)
    model = benchmark.built()
    run = lambda images: keras.ops.convert_to_numpy(model(images))  # noqa: E731
    whole = run(x)
    np.testing.assert_array_equal(whole.argmax(-1), y)
    assert whole.max(-1).mean() > 0.95
    assert run(hidden(x, causes)).max(-1).mean() < 0.5
    assert np.abs(run(hidden(x, decoys)) - whole).max() < 0.02


def test_occlusion_and_gradients_find_it(benchmark):
    x, y, causes, decoys = benchmark.dataset(6)
    chosen = {"occlusion": functools.partial(kx.occlusion, patch_size=8, stride=4),
              "gradient_x_input": kx.gradient_x_input}
    table = benchmark.localization(benchmark.built(), x, y, causes, decoys, chosen)
    for name in chosen:
        assert table.mean(name, "energy_pointing_game") > 0.5, name
        assert table.mean(name, "energy_in_decoy") < 0.05, name
        assert table.beats_baselines(name, "energy_pointing_game")
    assert table.mean("random_pixels", "energy_pointing_game") == pytest.approx(
        benchmark.PATCH**2 / benchmark.SIZE**2, abs=0.005)


def test_local_linear_finds_the_token_that_decides():
    """A transformer that learned to tell whether one of two tokens is in a text."""
    length, yes, no = 10, 3, 4
    ids = keras.Input((length,), dtype="int32")
    x = keras.layers.Embedding(30, 16)(ids)
    for _ in range(2):
        y = keras.layers.MultiHeadAttention(2, 8)(x, x)
        x = keras.layers.LayerNormalization()(x + y)
        y = keras.layers.Dense(16)(keras.layers.Dense(32, activation="gelu")(x))
        x = keras.layers.LayerNormalization()(x + y)
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(ids, keras.layers.Dense(2)(x))
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        if len(v.shape) > 1:
            v.assign(rng.normal(size=v.shape) * np.sqrt(1.5 / np.prod(v.shape[:-1])))
    texts, places = rng.integers(5, 30, (1000, length)), rng.integers(0, length, 1000)
    classes = rng.integers(0, 2, 1000)
    texts[np.arange(1000), places] = np.where(classes, yes, no)
    model.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(True))
    model.fit(texts[:800], classes[:800], epochs=8, batch_size=40, verbose=0, shuffle=False)
    texts, places, classes = texts[800:], places[800:], classes[800:]
    assert (model.predict(texts, verbose=0).argmax(axis=1) == classes).mean() > 0.98
    maps = kx.local_linear(model).predict(texts, verbose=0)["heatmap"]
    assert (maps.argmax(axis=1) == places).mean() >= 0.95
