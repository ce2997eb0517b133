"""Heatmaps of tables by the columns that users have, and their figures."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_explain as kx
from keras_explain.tables import contributions

RNG = np.random.default_rng(0)
DATA = np.column_stack([RNG.normal(size=60), RNG.uniform(18, 80, 60),
                        *np.eye(3)[RNG.integers(0, 3, 60)].T]).astype("float32")
NAMES = ["size", "age", "red", "green", "blue"]
WEIGHTS = np.array([2.0, -0.1, 1.0, 3.0, -1.0])
TABLE = kx.lime.Table(DATA, NAMES, groups={"color": NAMES[2:]})


def make_model():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(1)])
    model.set_weights([WEIGHTS[:, None], np.array([0.5])])
    return model


def test_one_hot_columns_are_one_category():
    explained = kx.integrated_gradients(make_model(), baseline=DATA)
    found = contributions(explained, TABLE, verbose=0)
    own = (DATA - DATA.mean(axis=0)) * WEIGHTS
    assert found.names == ("size", "age", "color") and len(found) == 60
    np.testing.assert_allclose(
        found.weights, np.column_stack([own[:, :2], own[:, 2:].sum(axis=1)]), atol=1e-3)
    np.testing.assert_allclose(found.scores, DATA @ WEIGHTS + 0.5, atol=1e-4)
    np.testing.assert_allclose(found.start, DATA.mean(axis=0) @ WEIGHTS + 0.5, atol=1e-3)
    assert [found.values[i, 2] for i in range(9)] == [NAMES[2 + k] for k in DATA[:9, 2:].argmax(1)]
    assert found.numbers("color") is None and found.numbers("age")[0] == DATA[0, 1]
    np.testing.assert_array_equal(found[3:5].weights, found.weights[3:5])
    assert found.order()[0] == np.abs(found.weights).mean(axis=0).argmax()


@pytest.mark.parametrize("kind", ["pandas", "polars", "sparse", "dict"])
def test_every_kind_of_table(kind):
    data = DATA[:8]
    explained = kx.occlusion(make_model(), baseline=0.0)
    wanted = contributions(explained, data, verbose=0).weights
    if kind == "sparse":
        table = pytest.importorskip("scipy.sparse").csr_array(data)
    elif kind == "dict":
        table = dict(zip(NAMES, data.T, strict=True))
    else:
        table = pytest.importorskip(kind).DataFrame(dict(zip(NAMES, data.T, strict=True)))
    found = contributions(explained, table, verbose=0)
    np.testing.assert_array_equal(found.weights, wanted)
    assert found.names == (tuple("01234") if kind == "sparse" else tuple(NAMES))


@pytest.mark.parametrize("as_list", [True, False])
def test_inputs_by_name_in_any_order(as_list):
    inputs = {n: keras.Input((1,), name=n) for n in ("size", "age", "weight")}
    score = layers.Dense(1, use_bias=False)(layers.Concatenate()(list(inputs.values())))
    model = keras.Model(list(inputs.values()) if as_list else inputs, score)
    model.layers[-1].set_weights([np.array([[1.0], [10.0], [100.0]])])
    data = {"weight": np.ones(4), "age": np.full(4, 2.0), "other": np.ones(4), "size": np.ones(4)}
    found = contributions(kx.gradient_x_input(model), data, verbose=0)
    assert found.names == ("weight", "age", "size")
    np.testing.assert_allclose(found.weights[0], [100, 20, 1], rtol=1e-5)
    one = contributions(kx.gradient_x_input(model, input="age"), data, verbose=0)
    assert one.names == ("age",) and np.isclose(one.weights[0, 0], 20)
    with pytest.raises(ValueError, match=r"inputs \['size', 'age', 'weight'\]"):
        contributions(kx.gradient_x_input(model), {"size": np.ones(3)}, verbose=0)


def test_what_is_refused():
    with pytest.raises(TypeError, match="what a builder returned, received Sequential"):
        contributions(make_model(), DATA)
    with pytest.raises(ValueError, match="rows of 3 columns"):
        contributions(kx.saliency(make_model()), DATA[:, :3])
    with pytest.raises(ValueError, match="target"):
        contributions(kx.saliency(make_model(), target="input"), DATA)
    found = contributions(kx.saliency(make_model()), TABLE, verbose=0)
    with pytest.raises(ValueError, match="received 'hue'. Columns are"):
        kx.plots.dependence(found, "hue")
    with pytest.raises(ValueError, match="`row` to be from 0 to 59"):
        kx.plots.waterfall(found, 60)
    with pytest.raises(ValueError, match="which has categories"):
        kx.plots.dependence(found, "age", color="color")


def test_figures():
    found = contributions(kx.integrated_gradients(make_model(), baseline=DATA), TABLE, verbose=0)
    axes = kx.plots.waterfall(found, 2, k=2).axes[0]
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert len(labels) == 3 and labels[-1] == "1 other columns"
    widths = np.array([bar.get_width() for bar in axes.patches])
    np.testing.assert_allclose(widths.sum(), found.weights[2].sum(), rtol=1e-4)
    edges = [v for bar in axes.patches for v in (bar.get_x(), bar.get_x() + bar.get_width())]
    assert axes.get_xlim()[0] < min(edges) and max(edges) < axes.get_xlim()[1]
    swarm = kx.plots.beeswarm(found).axes[0]
    assert [t.get_text() for t in swarm.get_yticklabels()] == [
        found.names[i] for i in found.order()]
    for points in swarm.collections:  # each stays nearest to its own line
        y = points.get_offsets()[:, 1]
        assert np.abs(y - np.median(y).round()).max() < 0.5
    for column, color in (("age", "size"), ("color", None)):
        points = kx.plots.dependence(found, column, color=color).axes[0].collections[0]
        np.testing.assert_allclose(
            points.get_offsets()[:, 1], found.weights[:, found.index(column)], rtol=1e-6)
