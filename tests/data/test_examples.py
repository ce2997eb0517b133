"""The examples of a callback, taken from every kind of data that `fit` takes."""

import random

import keras
import numpy as np
import pytest

from keras_explain.data.examples import first_examples, first_rows

X = np.arange(20 * 6, dtype="float32").reshape(20, 2, 3, 1)
Y = np.arange(20) % 3


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        np.random.random(), random.random()  # as an augmentation would
        rows = slice(4 * index, 4 * index + 4)
        return X[rows], keras.utils.to_categorical(Y[rows], 3)


def dataset():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)


def loader():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return torch.utils.data.DataLoader(data, batch_size=4)


@pytest.mark.parametrize("make", [lambda: (X, Y), lambda: (X, Y, np.ones(20)), Batches, dataset,
                                  loader, lambda: (X, keras.utils.to_categorical(Y, 3)),
                                  lambda: (X, Y[:, None])])
def test_the_first_examples_and_their_classes(make):
    inputs, labels = first_examples(make(), count=7)
    np.testing.assert_array_equal(inputs, X[:7])
    np.testing.assert_array_equal(labels, Y[:7])


def test_labels_given_apart():
    inputs, labels = first_examples(X, list(Y), count=3)
    assert inputs.shape == (3, 2, 3, 1) and labels.tolist() == [0, 1, 2]


def test_dicts_and_lists_of_inputs():
    inputs, labels = first_examples(({"a": X, "b": X[:, 0]}, Y), count=2)
    assert inputs["a"].shape == (2, 2, 3, 1) and inputs["b"].shape == (2, 3, 1)
    inputs, labels = first_examples([X, X], count=2)
    assert len(inputs) == 2 and labels is None


def test_texts_are_one_input():
    inputs, labels = first_examples(["a fine day", "rain"], [1, 0])
    assert inputs.tolist() == ["a fine day", "rain"] and labels.tolist() == [1, 0]


def test_several_outputs_have_no_class_to_show():
    assert first_examples((X, {"one": Y, "two": Y}))[1] is None
    assert set(first_rows((X, {"one": Y, "two": Y}))[1]) == {"one", "two"}


def test_global_generators_are_left_alone():
    np.random.seed(0), random.seed(0)
    expected = np.random.random(), random.random()
    np.random.seed(0), random.seed(0)
    first_examples(Batches(), count=7)
    assert (np.random.random(), random.random()) == expected


@pytest.mark.parametrize("data, labels, words", [
    (X[:0], None, "Expected examples"),
    ([X, X[:3]], None, "as many in each input"),
    (X[:4], Y[:3], "3 labels"),
])
def test_errors(data, labels, words):
    with pytest.raises(ValueError, match=words):
        first_examples(data, labels)
