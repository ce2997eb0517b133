"""The mean gradient: closed forms, statistics, data of every kind, names."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_explain.data import batches as data
from keras_explain.linear.mean_gradient import MeanGradient, mean_gradient

ON_TENSORFLOW = pytest.mark.skipif(keras.backend.backend() != "tensorflow",
                                   reason="strings inside a model need TensorFlow")
X = np.random.default_rng(0).normal(size=(50, 3)).astype("float32")


def linear_model(kernel, bias, activation=None):
    kernel = np.asarray(kernel, "float32")
    model = keras.Sequential([keras.Input((len(kernel),)),
                              layers.Dense(kernel.shape[1], activation)])
    model.set_weights([kernel, np.asarray(bias, "float32")])
    return model


def quadratic(columns=3):
    """x -> sum of i * x_i^2, whose gradient is 2 i x_i."""
    x = keras.Input((columns,))
    weights = np.arange(1.0, columns + 1, dtype="float32")
    return keras.Model(x, keras.ops.sum(keras.ops.square(x) * weights, axis=1, keepdims=True))


@pytest.mark.parametrize("activation", [None, "softmax", "sigmoid"])
def test_a_linear_model_is_its_coefficients(activation):
    kernel, bias = np.random.default_rng(1).normal(size=(3, 4)), [0.5, -1, 0, 2]
    gradient = mean_gradient(linear_model(kernel, bias, activation), X)
    np.testing.assert_array_equal(gradient.mean, kernel.T.astype("float32"))
    np.testing.assert_array_equal(gradient.standard_error, 0)
    np.testing.assert_allclose(gradient.intercept, bias, atol=1e-6)
    assert gradient.count == 50 and gradient.target is None


def test_one_unit_is_one_class():
    for activation, expected in ((None, 0), ("sigmoid", 1)):
        model = linear_model([[1.0], [-2.0], [3.0]], [0.25], activation)
        gradient = mean_gradient(model, X)
        np.testing.assert_array_equal(gradient.mean, [1, -2, 3])
        assert gradient.target == expected
        assert gradient.intercept == pytest.approx(0.25, abs=1e-6)
    against = mean_gradient(model, X, target=0)
    np.testing.assert_array_equal(against.mean, [-1, 2, -3])


def test_mean_and_standard_error_whatever_the_batches():
    slopes = 2 * np.arange(1, 4) * X.astype("float64")
    for size in (1, 7, 50, 128):
        gradient = mean_gradient(quadratic(), X, batch_size=size)
        np.testing.assert_allclose(gradient.mean, slopes.mean(axis=0), rtol=1e-5)
        error = slopes.std(axis=0, ddof=1) / np.sqrt(50)
        np.testing.assert_allclose(gradient.standard_error, error, rtol=1e-5)


def test_a_large_offset_does_not_spoil_the_error():
    from keras_explain.linear.mean_gradient import _Moments

    rows = 1e8 + np.random.default_rng(0).normal(size=(1000, 2))
    moments = _Moments()
    for start in range(0, 1000, 64):
        moments.add(rows[start : start + 64])
    np.testing.assert_allclose(moments.standard_error(), rows.std(axis=0, ddof=1) / 1000**0.5,
                               rtol=1e-5)


def test_the_probability_has_its_own_slope():
    model = linear_model([[1.0], [-2.0], [3.0]], [0.0], "sigmoid")
    p = 1 / (1 + np.exp(-X @ [1, -2, 3]))
    gradient = mean_gradient(model, X, score="probability")
    np.testing.assert_allclose(gradient.mean, (p * (1 - p)).mean() * np.array([1, -2, 3]),
                               rtol=1e-4)


def test_images_keep_their_shape():
    model = keras.Sequential([keras.Input((4, 6, 2)), layers.Flatten(), layers.Dense(3)])
    gradient = mean_gradient(model, np.random.rand(5, 4, 6, 2))
    kernel = keras.ops.convert_to_numpy(model.layers[-1].kernel)
    np.testing.assert_array_equal(gradient.mean, kernel.T.reshape(3, 4, 6, 2))


def test_data_of_every_kind_gives_the_same():
    import tensorflow as tf

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 5

        def __getitem__(self, i):
            return X[10 * i : 10 * i + 10], np.zeros(10)

    kinds = [(X, np.zeros(50)), tf.data.Dataset.from_tensor_slices((X, X[:, 0])).batch(16),
             tf.data.Dataset.from_tensor_slices(X).batch(16), Batches(),
             ((X[i : i + 9],) for i in range(0, 50, 9))]
    expected = mean_gradient(quadratic(), X).mean
    for kind in kinds:
        gradient = mean_gradient(quadratic(), kind)
        assert gradient.count == 50
        np.testing.assert_allclose(gradient.mean, expected, rtol=1e-5)


def test_memory_is_one_batch():
    alive = []

    def stream():
        for _ in range(6):
            batch = np.ones((4, 3), "float32")
            alive.append(batch)
            yield batch

    given = data.batches(stream())
    next(given)
    assert len(alive) == 1


@ON_TENSORFLOW
@pytest.mark.parametrize("padding", [0, 2])
def test_strings_are_differentiated_behind_the_vectorizer(padding):
    texts = ["a good film", "a bad film", "good good"]
    vectorize = layers.TextVectorization(output_mode="multi_hot", pad_to_max_tokens=bool(padding),
                                         max_tokens=5 + padding)
    vectorize.adapt(texts)
    words = keras.Input((5 + padding,))
    network = keras.Model(words, layers.Dense(1)(layers.Dense(4, "tanh")(words)))
    inputs = keras.Input((), dtype="string")
    whole = keras.Model(inputs, network(vectorize(inputs)))
    found = mean_gradient(whole, texts)
    bags = keras.ops.convert_to_numpy(vectorize(texts))
    np.testing.assert_allclose(found.mean, mean_gradient(network, bags).mean, rtol=1e-5)
    assert found.feature_names == [*vectorize.get_vocabulary(), *["[unused]"] * padding]


def test_the_top_features_are_in_order_and_named():
    gradient = MeanGradient(np.array([1.0, -3.0, 2.0]), np.array([0.1, 0.2, 0.3]), np.array(0.0),
                            9, feature_names=["a", "b", "c"])
    positive, negative = gradient.top(2)
    assert [(f.name, f.mean, f.standard_error) for f in positive] == [("c", 2, 0.3), ("a", 1, 0.1)]
    assert [f.name for f in negative] == ["b", "a"]
    several = MeanGradient(np.eye(2), np.eye(2), np.zeros(2), 9)
    assert several.top(1, target=1)[0][0].name == "1"
    with pytest.raises(ValueError, match="Expected `target` from 0 to 1.*received None"):
        several.top(1)


def test_errors():
    model = linear_model(np.ones((3, 2)), [0, 0])
    with pytest.raises(ValueError, match="`feature_names` for 3 features, received 2"):
        mean_gradient(model, X, feature_names=["a", "b"])
    with pytest.raises(TypeError, match="every class.*or a class index, received"):
        mean_gradient(model, X, target=[0, 1])
    with pytest.raises(ValueError, match="from 0 to 1.*received 5"):
        mean_gradient(model, X, target=5)
    with pytest.raises(ValueError, match="received none. Pass some examples"):
        mean_gradient(model, iter(()))
    with pytest.raises(ValueError, match=r"received lengths \[0\]"):
        mean_gradient(model, X[:0])
    with pytest.raises(TypeError, match="Expected a `keras.Model`"):
        mean_gradient(lambda x: x, X)
    with pytest.raises(ValueError, match=r"received lengths \[49, 50\]"):
        mean_gradient(model, (X, np.zeros(49)))
