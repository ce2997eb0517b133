"""Dense layers on flattened maps: the difference alone goes through the kernel's rows."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from test_windows import alive, brute_force, check

import keras_explain as kx
from keras_explain.engine.affine import Affine
from keras_explain.engine.folding import fold
from keras_explain.engine.windows import run, strips
from keras_explain.graph.program import Program


def net(*head, shape=(26, 22, 2)):
    return alive(keras.Sequential([
        keras.Input(shape), layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), *head, layers.Dense(3, activation="softmax")]))


@pytest.fixture
def used(monkeypatch):
    """How many chunks went through strips of the map."""
    calls, inner = [], ops.map
    monkeypatch.setattr(strips.ops, "map", lambda *args: calls.append(1) or inner(*args))
    return calls


@pytest.mark.parametrize("head", [
    [layers.Dense(5, activation="relu")],
    [layers.Dense(5, activation="tanh", use_bias=False)],
    [layers.Dropout(0.5), layers.Dense(5, activation="relu")],
    [layers.Dense(5), layers.BatchNormalization(), layers.ReLU()],
    [],
], ids=["relu", "no bias", "dropout", "normalized", "logits"])
def test_the_same_numbers_by_strips(head, used):
    report = check(net(*head), (4, 3), (2, 3))
    assert used
    assert "100%" not in report.splitlines()[4]  # the first dense layer


def test_positions_in_any_order(monkeypatch):
    """Chunks as large as rows of the grid that hold other positions."""
    model = net(layers.Dense(5, activation="relu"))
    x = np.random.default_rng(0).normal(size=(1, 26, 22, 2)).astype("float32")
    explainer = kx.occlusion(model, patch_size=4, stride=2, target=1, engine="incremental",
                             score="probability").explainer
    order = np.random.default_rng(0).permutation(np.prod(explainer.plans[0].counts))

    def shuffled(evaluate):
        return ops.take(evaluate(ops.convert_to_tensor(order)), np.argsort(order))

    monkeypatch.setattr(
        "keras_explain.explainers.occlusion.drops", lambda *args: run.drops(*args[:-1], shuffled)
    )
    got = ops.convert_to_numpy(explainer.drops([ops.convert_to_tensor(x)])[0][0])[0]
    want = brute_force(model, x[0], explainer.grids[0])
    np.testing.assert_allclose(got, want, atol=1e-4 * np.ptp(want))


def test_a_search_takes_positions_that_share_nothing(used):
    model = net(layers.Dense(5, activation="relu"))
    explained = kx.occlusion(model, patch_size=4, stride=2, engine="incremental", search="adaptive")
    explained.predict(np.random.default_rng(0).normal(size=(1, 26, 22, 2)), verbose=0)
    assert not used
    assert "share no rows of the map" in explained.explainer.report()


def test_the_map_is_read_again_afterwards():
    image = keras.Input((26, 22, 2))
    x = layers.MaxPooling2D()(layers.Conv2D(4, 3, activation="relu")(image))
    parts = [layers.Dense(5)(layers.Flatten()(x)), layers.GlobalMaxPooling2D()(x)]
    model = alive(keras.Model(image, layers.Dense(3)(layers.Concatenate()(parts))))
    x = np.random.default_rng(0).normal(size=(2, 26, 22, 2)).astype("float32")
    maps = [
        kx.occlusion(model, patch_size=4, stride=2, target=1, engine=engine).predict(x, verbose=0)[
            "heatmap"
        ]
        for engine in ("incremental", "full")
    ]
    assert np.ptp(maps[1]) > 1e-3
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-4 * np.ptp(maps[1]))


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_chunks_smaller_than_a_row_of_the_grid(batch_size):
    model = net(layers.Dense(5, activation="relu"))
    x = np.random.default_rng(0).normal(size=(1, 26, 22, 2)).astype("float32")
    explainer = kx.occlusion(
        model,
        patch_size=4,
        stride=2,
        target=1,
        batch_size=batch_size,
        score="probability",
        engine="incremental",
    ).explainer
    got = ops.convert_to_numpy(explainer.drops([ops.convert_to_tensor(x)])[0][0])[0]
    want = brute_force(model, x[0], explainer.grids[0])
    np.testing.assert_allclose(got, want, atol=1e-4 * np.ptp(want))


def test_windows_that_are_too_high_take_the_whole_map(used):
    check(net(layers.Dense(5, activation="relu")), 14, 4)
    assert not used


def test_a_flattened_map_that_others_read_stays():
    image = keras.Input((8, 6, 3))
    x = layers.Flatten()(layers.Conv2D(4, 3)(image))
    _, program = Program.trace(keras.Model(image, [layers.Dense(3)(x), layers.Dense(2)(x)]))
    kinds = [s.fn.kind for s in fold(program).steps if isinstance(s.fn, Affine)]
    assert kinds == ["conv", "dense", "dense"]
