"""What the model sees alike is found, whatever the data come in."""

import keras
import numpy as np
import pytest

from keras_explain.training_examples import find_similar

SOURCES = ["arrays", "batches", "PyDataset", "tf.data"]


def net(kernel):
    """Features are a kernel's, rectified; a last layer reads them."""
    model = keras.Sequential([
        keras.Input((6,)), keras.layers.Dense(4, activation="relu", use_bias=False),
        keras.layers.Dense(3, activation="softmax")])
    model.layers[0].set_weights([kernel])
    return model


def as_source(kind, x, y):
    cuts = [slice(0, 7), slice(7, 8), slice(8, None)]
    if kind == "arrays":
        return x, y
    if kind == "batches":
        return [(x[c], y[c]) for c in cuts].__iter__(), None
    if kind == "tf.data":
        tf = pytest.importorskip("tensorflow")
        return tf.data.Dataset.from_tensor_slices((x, y)).batch(7), None

    class Some(keras.utils.PyDataset):
        def __len__(self):
            return len(cuts)

        def __getitem__(self, i):
            return x[cuts[i]], y[cuts[i]]

    return Some(), None


@pytest.mark.parametrize("kind", SOURCES)
def test_agrees_with_neighbors_of_scikit_learn(kind):
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(0)
    kernel, x = rng.normal(size=(6, 4)), rng.normal(size=(40, 6)).astype("float32")
    query, y = rng.normal(size=(5, 6)).astype("float32"), np.arange(40)
    data, labels = as_source(kind, x, y)
    found = find_similar(net(kernel), query, data, labels, k=6, batch_size=7, verbose=0)
    nearest = NearestNeighbors(n_neighbors=6, metric="cosine").fit(np.maximum(x @ kernel, 0))
    distances, _ = nearest.kneighbors(np.maximum(query @ kernel, 0))
    np.testing.assert_allclose(1 - found.similarities, distances, atol=1e-5)
    np.testing.assert_array_equal(found.y, found.indices)
    np.testing.assert_array_equal(found.examples, x[found.indices])


def test_a_planted_twin_comes_first():
    """Twins differ in what the network does not read."""
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(6, 4))
    kernel[5] = 0
    x = rng.normal(size=(30, 6))
    twins = x[[3, 17]] + [0, 0, 0, 0, 0, 9]
    found = find_similar(net(kernel), twins, x, k=1, verbose=0)
    assert found.indices[:, 0].tolist() == [3, 17]
    assert found.y is None


def test_there_may_be_fewer_and_features_may_be_zero():
    found = find_similar(net(np.zeros((6, 4))), np.ones((2, 6)), np.ones((3, 6)), k=5, verbose=0)
    assert found.similarities.tolist() == [[0.0] * 3] * 2


def test_reads_a_layer_that_is_named_and_heads_that_are_no_dense_layer():
    model = keras.Sequential([
        keras.Input((8, 8, 1)), keras.layers.Conv2D(3, 3, name="first"), keras.layers.Conv2D(2, 3),
        keras.layers.GlobalAveragePooling2D(), keras.layers.Activation("softmax")])
    x = np.random.default_rng(0).random((9, 8, 8, 1))
    for layer in (None, "first"):
        found = find_similar(model, x[4:6], x, layer=layer, k=2, verbose=0)
        assert found.indices[:, 0].tolist() == [4, 5]


def test_two_last_layers_ask_for_a_layer():
    a = keras.Input((4,))
    out = keras.layers.Add()([keras.layers.Dense(2)(a), keras.layers.Dense(2)(a)])
    model = keras.Model(a, keras.layers.Softmax()(out))
    with pytest.raises(ValueError, match="Expected a model whose scores come from one last layer"):
        find_similar(model, np.ones((1, 4)), np.ones((3, 4)), verbose=0)
