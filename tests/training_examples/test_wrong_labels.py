"""Labels that were exchanged by construction are found."""

import keras
import numpy as np
import pytest

from keras_explain.training_examples import find_wrong_labels

CLASSES, COUNT = 4, 1000


def draw(seed):
    """Points around a center for each class, with 5 % of the labels exchanged."""
    rng = np.random.default_rng(seed)
    y = np.arange(COUNT) % CLASSES
    x = rng.normal(size=(COUNT, 10)).astype("float32")
    x[np.arange(COUNT), y] += 4
    wrong = rng.choice(COUNT, COUNT // 20, replace=False)
    y[wrong] = (y[wrong] + rng.integers(1, CLASSES, len(wrong))) % CLASSES
    return x, y, wrong


def train(x, y, seed, epochs=5):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(32, "relu"),
                              keras.layers.Dense(CLASSES, "softmax")])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=epochs, batch_size=50, verbose=0)
    return model


@pytest.mark.parametrize("seed", range(2))
def test_planted_wrong_labels_are_ranked_first(seed):
    x, y, wrong = draw(seed)
    found = find_wrong_labels(train(x, y, seed), x, y, verbose=0)
    assert np.isin(found.order()[: len(wrong)], wrong).mean() >= 0.8
    assert found.predicted.shape == (COUNT, CLASSES)
    np.testing.assert_allclose(found.predicted.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("end, labels", [
    ("softmax", [0, 2, 1]), ("softmax", np.eye(3)[[0, 2, 1]]), (None, [0, 2, 1]),
    ("sigmoid", [[1, 0, 1], [0, 0, 0], [1, 1, 1]]), (None, [[1.5, 0, 2], [0, 1, 0], [3, 1, 1]])])
def test_the_score_is_the_squared_gradient_of_the_loss(end, labels):
    """Keras's own loss, by differences in every weight of the last layer."""
    rng = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2, "tanh"),
                              keras.layers.Dense(3, end)])
    x, labels = rng.normal(size=(3, 5)).astype("float32"), np.array(labels)
    losses = {"softmax": "categorical_crossentropy", "sigmoid": "binary_crossentropy"}
    loss = keras.losses.get(losses.get(end, "mean_squared_error"))
    truth = np.eye(3)[labels] if labels.ndim == 1 else labels
    if end is None and labels.ndim == 1:
        def loss(y, z):
            return keras.losses.categorical_crossentropy(y, z, from_logits=True)
    units = 3 if end == "sigmoid" else 1  # Keras takes the mean over units
    kernel, bias = model.layers[-1].get_weights()
    found, step = np.zeros(3), 1e-2
    for i in range(kernel.size + bias.size):
        values = []
        for sign in (1, -1):
            flat = np.concatenate([kernel.ravel(), bias])
            flat[i] += sign * step
            model.layers[-1].set_weights([flat[: kernel.size].reshape(kernel.shape),
                                          flat[kernel.size :]])
            values.append(keras.ops.convert_to_numpy(
                loss(truth.astype("float32"), model(x, training=False))) * units)
        found += ((values[0] - values[1]) / (2 * step)) ** 2
    model.layers[-1].set_weights([kernel, bias])
    scores = find_wrong_labels(model, x, labels, verbose=0, batch_size=2).scores
    np.testing.assert_allclose(scores, found, rtol=5e-3)


@pytest.mark.parametrize("y, words", [
    (None, "Pass `y`"), ([0, 9, 1], "class indices from 0 to 3"), ([0.5, 1, 2], "class indices"),
    ([], "lengths")])
def test_labels_that_do_not_fit(y, words):
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, "softmax")])
    with pytest.raises(ValueError, match=words):
        find_wrong_labels(model, np.zeros((3, 5)), None if y is None else np.array(y), verbose=0)


def test_a_last_layer_that_is_not_linear_is_refused():
    a = keras.Input((4,))
    model = keras.Model(a, keras.layers.Dense(3)(a) ** 3)
    with pytest.raises(ValueError, match="logits are linear in its features"):
        find_wrong_labels(model, np.zeros((3, 4)), np.zeros(3, int), verbose=0)


def test_the_model_and_the_random_state_stay_as_they_were():
    x, y, _ = draw(0)
    model = train(x, y, 0, epochs=1)
    before = [w.copy() for w in model.get_weights()]
    np.random.seed(3)
    state = np.random.get_state()[1].copy()
    find_wrong_labels(model, x, y, verbose=0)
    assert (np.random.get_state()[1] == state).all()
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
