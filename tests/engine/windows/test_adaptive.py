import keras
import numpy as np
import pytest
from keras import layers, ops
from models import alive, draw
from scipy.stats import spearmanr

import keras_explain as kx
from keras_explain.engine.windows.adaptive import Search


def network(shape=(28, 24, 2)):
    x = keras.Input(shape)
    y = layers.Conv2D(4, 3, activation="relu")(x)
    y = layers.MaxPooling2D()(layers.BatchNormalization()(y))
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(5, 3, activation="relu")(y))
    return alive(keras.Model(x, layers.Dense(3, activation="softmax")(y)), draw(shape, 8))


def drops(model, x, **options):
    explained = kx.occlusion(model, patch_size=6, stride=2, **options)
    return ops.convert_to_numpy(explained.explainer.drops([ops.convert_to_tensor(x)])[0][0])


def searched(search):
    """A search on a smooth field: what it found, the field, and what it asked for."""
    places = np.meshgrid(*[0.2 * np.arange(n) for n in search.counts], indexing="ij")
    field = sum(np.sin(p + i) for i, p in enumerate(places)).astype("float32").ravel()
    asked = []

    def evaluate(positions):
        asked.append(ops.convert_to_numpy(positions))
        return ops.take(ops.convert_to_tensor(field), positions, axis=0)

    return ops.convert_to_numpy(search(evaluate)), field, np.concatenate(asked)


@pytest.mark.parametrize("patch", [2, 8])
@pytest.mark.parametrize("counts", [(27, 27), (9, 14), (40,), (6, 5, 7), (1, 30), (2, 2), (1,)])
def test_evaluates_a_part_of_the_positions_once_each(counts, patch):
    search = Search.of(counts, [(patch, 2)] * len(counts))
    found, field, asked = searched(search)
    assert len(set(asked)) == len(asked) == search.evaluations
    if np.prod(counts) > 50:
        assert abs(len(asked) / np.prod(counts) - {2: 1 / 2, 8: 1 / 3}[patch]) < 0.01
    np.testing.assert_array_equal(found[asked], field[asked])
    bound = ((search.step * 0.2) ** 2) / 8 * len(counts)  # of linear interpolation
    np.testing.assert_allclose(found, field, atol=1.01 * bound)


def test_keeps_the_order_and_the_hottest_tenth():
    for patch in (2, 8):
        found, field, _ = searched(Search.of((40, 30), [(patch, 2)] * 2))
        assert spearmanr(found, field)[0] > 0.98
        hottest = [set(np.argsort(-v)[:120]) for v in (found, field)]
        assert len(hottest[0] & hottest[1]) >= 119
        assert found.argmax() == field.argmax() and found.max() == field.max()


def test_interpolates_a_plane_exactly():
    places = np.add.outer(np.arange(12) * 3.0, np.arange(9)).astype("float32").ravel()
    field = ops.convert_to_tensor(places)
    found = Search((12, 9), 3, 0.3)(lambda positions: ops.take(field, positions, axis=0))
    np.testing.assert_allclose(ops.convert_to_numpy(found), places, atol=1e-5)


@pytest.mark.parametrize("engine", ["incremental", "full"])
def test_what_is_evaluated_equals_the_full_map(engine):
    model, x = network(), draw((28, 24, 2), 3)
    full = drops(model, x, engine=engine)
    found = drops(model, x, engine=engine, search="adaptive")
    lines = np.ix_(range(3), range(0, 12, 2), range(0, 10, 2))
    np.testing.assert_allclose(found[lines], full[lines], atol=1e-6)
    same = np.isclose(found, full, atol=1e-6).mean(axis=(1, 2))
    assert (same >= 0.49).all() and (same < 1).any()


@pytest.mark.parametrize("engine", ["incremental", "full"])
def test_equals_the_full_map_when_everything_is_refined(engine, monkeypatch):
    monkeypatch.setattr(Search, "of", lambda counts, grid: Search(tuple(counts), 2, 1.0))
    model, x = network(), draw((28, 24, 2), 2)
    np.testing.assert_allclose(drops(model, x, engine=engine, search="adaptive"),
                               drops(model, x, engine=engine), atol=1e-6)


def test_is_saved_with_the_model(tmp_path):
    model, x = network(), draw((28, 24, 2), 2)
    explained = kx.occlusion(model, patch_size=6, stride=2, search="adaptive")
    expected = explained.predict(x, verbose=0)["heatmap"]
    explained.save(tmp_path / "explained.keras")
    loaded = keras.saving.load_model(tmp_path / "explained.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0)["heatmap"], expected, atol=1e-6)


@pytest.mark.parametrize("engine", ["incremental", "full"])
def test_report_counts_the_positions(engine):
    explained = kx.occlusion(network(), patch_size=6, stride=2, engine=engine, search="adaptive")
    assert "60 of 120 positions are evaluated" in explained.explainer.report()


def test_needs_neighbors():
    x = keras.Input((5,))
    with pytest.raises(ValueError, match=r'map of fixed size.*received \(None, 5\).*"full"'):
        kx.occlusion(keras.Model(x, layers.Dense(2)(x)), search="adaptive", baseline=0.0)


def test_refuses_other_searches():
    with pytest.raises(ValueError, match=r"Expected `search` to be one of .*received 'fast'"):
        kx.occlusion(network(), search="fast")
