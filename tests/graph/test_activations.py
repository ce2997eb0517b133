"""Activations are told by what they compute, with their factor and shift."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_explain.graph.activations import Activation, find_activation
from keras_explain.graph.steps import Value

SCORES = Value(keras.KerasTensor((None, 3, 4)))


@pytest.mark.parametrize("fn, kind, scale, shift", [
    (lambda x: ops.softmax(x, axis=1), "softmax", 1, 0),
    (lambda x: ops.softmax(x / 2), "softmax", 0.5, 0),
    (lambda x: ops.log_softmax(3 * x), "softmax", 3, 0),
    (lambda x: ops.softmax(x + 5), "softmax", 1, 0),  # a constant for all classes counts nothing
    (ops.sigmoid, "sigmoid", 1, 0),
    (lambda x: ops.sigmoid(2 * x - 1), "sigmoid", 2, -1),
    (lambda x: (ops.tanh(x / 2) + 1) / 2, "sigmoid", 1, 0),
])
def test_softmax_and_sigmoid(fn, kind, scale, shift):
    found = find_activation(fn, SCORES, SCORES)
    assert isinstance(found, Activation) and found.kind == kind
    np.testing.assert_allclose(found[1:], (scale, shift), atol=1e-4)


@pytest.mark.parametrize("fn", [
    ops.tanh, ops.relu, lambda x: x, ops.hard_sigmoid, ops.exp,
    lambda x: 1 - ops.sigmoid(x),  # falls as the score rises
    lambda x: ops.relu(x) / ops.sum(ops.relu(x) + 1e-3, axis=-1, keepdims=True),
    lambda x: ops.sigmoid(x**3),
    lambda x: x / 0,
    lambda x: x[:, :1],
])
def test_nothing_else(fn):
    assert find_activation(fn, SCORES, SCORES) is None


def test_values_of_other_shapes_or_types():
    assert find_activation(ops.sigmoid, SCORES, Value(keras.KerasTensor((None, 4)))) is None
    whole = Value(keras.KerasTensor((None, 4), "int32"))
    assert find_activation(ops.sigmoid, whole, whole) is None
