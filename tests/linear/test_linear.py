"""Linear models read from Keras and scikit-learn; agreement with a network."""

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from keras_explain.linear import agreement, coefficient_maps, mean_images
from keras_explain.linear.mean_gradient import MeanGradient, mean_gradient

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 12)).astype("float32") * np.arange(1, 13)
Y = (X @ RNG.normal(size=(12, 3))).argmax(axis=1)


def kernel(model):
    return keras.ops.convert_to_numpy(model.layers[-1].kernel)


def dense(shape, activation="softmax", units=3):
    return keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(units, activation)])


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_a_keras_model_has_one_map_per_class(activation):
    model = dense((3, 4, 1), activation)
    np.testing.assert_array_equal(coefficient_maps(model), kernel(model).T.reshape(3, 3, 4))
    flat = dense((12,), activation)
    np.testing.assert_array_equal(coefficient_maps(flat), kernel(flat).T)
    np.testing.assert_array_equal(coefficient_maps(flat, shape=(2, 6)),
                                  kernel(flat).T.reshape(3, 2, 6))
    np.testing.assert_array_equal(coefficient_maps(flat.layers[-1], shape=(4, 3)),
                                  kernel(flat).T.reshape(3, 4, 3))


def test_one_sigmoid_unit_is_one_map():
    model = dense((3, 4), "sigmoid", 1)
    np.testing.assert_array_equal(coefficient_maps(model), kernel(model).T.reshape(1, 3, 4))


def test_coefficients_are_of_the_raw_input():
    model = keras.Sequential([keras.Input((3, 4)), layers.Rescaling(1 / 4, -1), layers.Flatten(),
                              layers.Dense(5), layers.Dense(3, "softmax")])
    first, second = (keras.ops.convert_to_numpy(x.kernel) for x in model.layers[-2:])
    expected = (first @ second).T.reshape(3, 3, 4) / 4
    np.testing.assert_allclose(coefficient_maps(model), expected, atol=1e-6)


def test_scikit_learn_models():
    plain = LogisticRegression(max_iter=500).fit(X, Y)
    np.testing.assert_allclose(coefficient_maps(plain, shape=(3, 4)), plain.coef_.reshape(3, 3, 4),
                               rtol=1e-6)
    binary = LogisticRegression(max_iter=500).fit(X, Y == 2)
    assert coefficient_maps(binary).shape == (1, 12)
    np.testing.assert_allclose(coefficient_maps(binary), binary.coef_, rtol=1e-6)
    each = OneVsRestClassifier(LogisticRegression(max_iter=500)).fit(X, Y)
    expected = np.concatenate([e.coef_ for e in each.estimators_])
    np.testing.assert_allclose(coefficient_maps(each), expected, atol=1e-6)


def test_a_pipeline_is_followed_back_to_the_pixels():
    pipeline = make_pipeline(StandardScaler(), PCA(5), LogisticRegression(max_iter=500)).fit(X, Y)
    scaler, pca, last = (step for _, step in pipeline.steps)
    expected = last.coef_ @ pca.components_ / scaler.scale_
    np.testing.assert_allclose(coefficient_maps(pipeline), expected, atol=1e-5)


def test_what_is_not_linear_is_refused():
    network = keras.Sequential([keras.Input((12,)), layers.Dense(8, "tanh"), layers.Dense(3)])
    with pytest.raises(ValueError, match="Expected a linear model.*Average it with"):
        coefficient_maps(network)
    with pytest.raises(ValueError, match="Expected a linear model, received 'SVC'"):
        coefficient_maps(SVC(kernel="rbf").fit(X, Y))
    with pytest.raises(TypeError, match="received RandomForestClassifier"):
        coefficient_maps(RandomForestClassifier(2).fit(X, Y))
    with pytest.raises(TypeError, match="such as Dense, received Conv2D"):
        coefficient_maps(keras.Sequential([keras.Input((9, 9, 1)), layers.Conv2D(2, 3)]).layers[0])
    with pytest.raises(TypeError, match="received function"):
        coefficient_maps(lambda x: x)
    with pytest.raises(ValueError, match=r"`shape` with 12 elements.*received \(5, 5\)"):
        coefficient_maps(Ridge().fit(X, Y), shape=(5, 5))


def test_mean_images():
    images, labels = RNG.random((30, 4, 5)), np.arange(30) % 3
    expected = np.stack([images[labels == c].mean(axis=0) for c in range(3)])
    np.testing.assert_allclose(mean_images(images, labels), expected, rtol=1e-6)
    np.testing.assert_allclose(mean_images(images, np.eye(3)[labels], batch_size=7), expected,
                               rtol=1e-6)
    with_hole = mean_images(images[:2], [0, 2])
    assert with_hole.shape == (3, 4, 5) and np.isnan(with_hole[1]).all()
    with pytest.raises(ValueError, match="Expected labels"):
        mean_images(images)


@pytest.mark.parametrize("activation, units", [("softmax", 3), ("sigmoid", 1), (None, 1)])
def test_a_linear_model_agrees_with_itself(activation, units):
    model = dense((12,), activation, units)
    model.layers[-1].bias.assign(np.linspace(-1, 1, units))
    found = agreement(model, mean_gradient(model, X[:40]), X[40:], batch_size=32)
    assert found.rate == 1.0 and found.count == 80
    np.testing.assert_allclose(found.linear_scores, found.model_scores, atol=1e-4)
    assert found.correlation == pytest.approx(1, abs=1e-5)


def test_agreement_counts_decisions():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, "sigmoid")])
    model.set_weights([np.array([[1.0]]), np.array([0.0])])
    shifted = MeanGradient(np.array([1.0]), np.array([0.0]), np.array(-2.0), 1)
    x = np.array([[-1.0], [1.0], [1.5], [3.0]], "float32")  # it says yes above 2, the model above 0
    found = agreement(model, shifted, x)
    assert found.rate == 0.5
    assert found.agrees.tolist() == [True, False, False, True]


def test_agreement_on_probabilities_has_its_threshold_at_a_half():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, "sigmoid")])
    model.set_weights([np.array([[4.0]]), np.array([0.0])])
    x = np.linspace(-2, 2, 40, dtype="float32")[:, None]
    found = agreement(model, mean_gradient(model, x, score="probability"), x)
    assert found.rate == 1.0 and found.threshold == 0.5


def test_an_interaction_lowers_the_agreement():
    """x1 * x2 has mean slope zero: no linear model stands for it."""
    inputs = keras.Input((2,))
    model = keras.Model(inputs, inputs[:, :1] * inputs[:, 1:])
    x = RNG.choice([-1.0, 1.0], (400, 2)).astype("float32") * (0.5 + RNG.random((400, 2)))
    assert agreement(model, mean_gradient(model, x), x).rate < 0.7


def test_agreement_errors():
    model = dense((12,))
    with pytest.raises(TypeError, match="Expected a `MeanGradient`, received ndarray"):
        agreement(model, np.ones(12), X)
    with pytest.raises(ValueError, match="of 3 classes, received one of 1"):
        agreement(model, mean_gradient(model, X, target=1), X)
    other = mean_gradient(dense((6,)), X[:, :6])
    with pytest.raises(ValueError, match="with 6 features.*received 12"):
        agreement(model, other, X)
