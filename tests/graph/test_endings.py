"""Softmax and sigmoid are found by what they compute, whatever they are called."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from models import alive, draw, policy

from keras_explain.graph.endings import before_activation
from keras_explain.graph.program import Program

BACKEND = keras.backend.backend()


def numbers(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def split(model, x):
    """What is found, and the logits for inputs."""
    _, program = Program.trace(model)
    program, raw, kind = before_activation(program, program.outputs)
    logits, answer = program.with_outputs((raw, program.outputs))([ops.convert_to_tensor(x)])
    np.testing.assert_allclose(numbers(answer), numbers(model(x)), atol=1e-6)
    return kind, numbers(logits)


def net(end, units=4, shape=(6,)):
    """A dense layer without and with the end, and its logits for inputs."""
    x = keras.Input(shape)
    dense = layers.Dense(units)
    y = dense(x)
    model = alive(keras.Model(x, end(y)), None)
    inputs = draw(shape, 3)
    return model, inputs, numbers(dense(inputs))


def softmax_by_hand(z):
    e = ops.exp(z - ops.max(z, axis=-1, keepdims=True))
    return e / ops.sum(e, axis=-1, keepdims=True)


class Own(layers.Layer):
    """A softmax of somebody's own."""

    def call(self, x):
        return softmax_by_hand(x)


SOFTMAX = {
    "layer": layers.Softmax(),
    "activation": layers.Activation("softmax"),
    "log": layers.Activation("log_softmax"),
    "operation": ops.softmax,
    "log_operation": ops.log_softmax,
    "by_hand": softmax_by_hand,
    "lambda": layers.Lambda(softmax_by_hand, output_shape=(4,)),
    "own_function": layers.Activation(lambda z: softmax_by_hand(z)),
    "own_layer": Own(),
    "then_moved": lambda z: layers.Dropout(0.5)(layers.Reshape((4,))(
        ops.expand_dims(ops.softmax(z), 1))),
    "other_type": lambda z: ops.cast(ops.softmax(ops.cast(z, "float32")), "float32"),
}


@pytest.mark.parametrize("name", SOFTMAX)
def test_softmax_by_any_name(name):
    kind, logits = split(*net(SOFTMAX[name])[:2])
    _, _, wanted = net(SOFTMAX[name])
    assert kind == "softmax"
    np.testing.assert_allclose(logits.reshape(wanted.shape), wanted, atol=1e-5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="functions of TensorFlow")
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "sigmoid"])
@pytest.mark.parametrize("fused", [True, False])
def test_functions_of_tensorflow(name, fused):
    import tensorflow as tf

    function = getattr(tf.nn, name)
    x = keras.Input((6,))
    top = layers.Dense(4, activation=function if fused else None)
    model = alive(keras.Model(x, top(x) if fused else layers.Activation(function)(top(x))), None)
    inputs = draw((6,), 3)
    kind, logits = split(model, inputs)
    kernel, bias = top.get_weights()
    assert kind == name.removeprefix("log_")
    np.testing.assert_allclose(logits, inputs @ kernel + bias, atol=1e-5)


@pytest.mark.parametrize("end", [ops.sigmoid, layers.Activation("sigmoid"),
                                 lambda z: 1 / (1 + ops.exp(-z)),
                                 lambda z: 0.5 + 0.5 * ops.tanh(z / 2)])
@pytest.mark.parametrize("units", [1, 4])
def test_sigmoid_by_any_name(end, units):
    model, inputs, wanted = net(end, units)
    kind, logits = split(model, inputs)
    assert kind == "sigmoid"
    np.testing.assert_allclose(logits, wanted, atol=1e-5)


def test_temperature_belongs_to_the_logits():
    fused = layers.Lambda(lambda z: ops.softmax(z / 3), output_shape=(4,))
    model, inputs, wanted = net(fused)
    kind, logits = split(model, inputs)
    assert kind == "softmax"
    np.testing.assert_allclose(logits, wanted / 3, rtol=1e-4)
    shifted = layers.Lambda(lambda z: ops.sigmoid(2 * z - 1), output_shape=(1,))
    model, inputs, wanted = net(shifted, 1)
    kind, logits = split(model, inputs)
    np.testing.assert_allclose(logits, 2 * wanted - 1, rtol=1e-3)


@pytest.mark.parametrize("end", [
    layers.Activation("tanh"), layers.Activation("relu"), layers.Activation("softplus"),
    lambda z: z, lambda z: -ops.softmax(z)[:, :2], layers.UnitNormalization(),
    lambda z: ops.softmax(z) * 2, layers.Rescaling(0.5),
])
def test_others_are_left_alone(end):
    model, inputs, _ = net(end)
    kind, logits = split(model, inputs)
    assert kind is None
    np.testing.assert_allclose(logits, numbers(model(inputs)), atol=1e-6)


def test_wrapped_layers_are_looked_into():
    x = keras.Input((5, 6))
    top = layers.Dense(4, activation="softmax")
    model = alive(keras.Model(x, layers.TimeDistributed(top)(x)), None)
    kind, logits = split(model, draw((5, 6), 2))
    kernel, bias = top.get_weights()
    assert kind == "softmax"
    np.testing.assert_allclose(logits, draw((5, 6), 2) @ kernel + bias, atol=1e-5)
    x = keras.Input((6,))
    top = layers.SpectralNormalization(layers.Dense(1, activation="sigmoid"))
    model = alive(keras.Model(x, top(x)), None)
    kind, logits = split(model, draw((6,), 2))
    kernel, bias = top.layer.get_weights()
    assert kind == "sigmoid"
    np.testing.assert_allclose(logits, draw((6,), 2) @ kernel + bias, atol=1e-5)


def test_own_dense_layer_with_an_activation():
    class Scaled(layers.Dense):
        def call(self, x, training=None):
            return self.activation(ops.matmul(x, self.kernel) * 3)

    x = keras.Input((6,))
    top = Scaled(4, activation="softmax", use_bias=False)
    model = alive(keras.Model(x, top(x)), None)
    kind, logits = split(model, draw((6,), 2))
    assert kind == "softmax"
    np.testing.assert_allclose(logits, draw((6,), 2) @ top.get_weights()[0] * 3, atol=1e-4)


def centered(z):
    return z - z.mean(axis=-1, keepdims=True)


class Opaque(layers.Layer):
    """A head that cannot be looked into: it wants numbers."""

    def __init__(self, units, end):
        super().__init__()
        self.dense, self.end = layers.Dense(units), end

    def build(self, shape):
        self.factor = self.add_weight(shape=(), initializer="ones")
        self.dense.build(shape)

    def compute_output_shape(self, shape):
        return (*shape[:-1], self.dense.units)

    def call(self, x):
        return self.end(self.dense(x) * self.factor)


def test_logits_from_the_probabilities_of_an_opaque_layer():
    x = keras.Input((6,))
    top = Opaque(4, softmax_by_hand)
    top.supports_masking = True
    model = alive(keras.Model(x, top(x)), None)
    inputs = draw((6,), 3)
    kind, logits = split(model, inputs)
    assert kind == "softmax"
    z = numbers(top.dense(inputs)) * numbers(top.factor)
    np.testing.assert_allclose(centered(logits), centered(z), atol=1e-4)
    x = keras.Input((6,))
    top = Opaque(1, lambda z: 1 / (1 + ops.exp(-z)))
    model = alive(keras.Model(x, top(x)), None)
    kind, logits = split(model, inputs)
    assert kind == "sigmoid"
    np.testing.assert_allclose(logits, numbers(top.dense(inputs)) * numbers(top.factor), atol=1e-4)


def test_small_numbers_are_no_probabilities():
    """A sum of small embeddings, and a regression between 0 and 1, come close to neither."""
    ids = keras.Input((6,), dtype="int32")
    y = ops.sum(layers.Embedding(9, 1, embeddings_initializer="ones")(ids), axis=1) / 100
    _, program = Program.trace(keras.Model(ids, y))
    assert before_activation(program, program.outputs)[1:] == (program.outputs, None)
    x = keras.Input((6,))
    y = Opaque(1, lambda z: 0.5 + 0.01 * z / (1 + ops.abs(z)))(x)
    _, program = Program.trace(keras.Model(x, y))
    assert before_activation(program, program.outputs)[1:] == (program.outputs, None)


def test_averaged_models_answer_with_probabilities():
    x = keras.Input((6,))
    heads = [layers.Dense(4, activation="softmax")(x) for _ in range(2)]
    model = alive(keras.Model(x, layers.Average()(heads)), None)
    inputs = draw((6,), 3)
    kind, logits = split(model, inputs)
    assert kind == "softmax"
    np.testing.assert_allclose(logits, centered(np.log(numbers(model(inputs)))), atol=1e-5)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
@pytest.mark.parametrize("head", ["fused", "float32 activation", "logits"])
def test_logits_of_half_precision_are_float32(precision, head):
    """From the rounded features on, nothing is rounded any more."""
    with policy(precision):
        x = keras.Input((6,))
        y = features = layers.Dense(8, activation="tanh")(x)
        top = layers.Dense(4, activation="softmax" if head == "fused" else None)
        y = top(y)
        if head == "float32 activation":
            y = layers.Activation("softmax", dtype="float32")(y)
        model = alive(keras.Model(x, y), None)
        inputs = draw((6,), 3)
        _, program = Program.trace(model)
        program, raw, kind = before_activation(program, program.outputs)
        cut = keras.Model(x, features)
        seen = numbers(cut(inputs))
        logits, answer = program.with_outputs((raw, program.outputs))(
            [ops.convert_to_tensor(inputs)])
    assert kind == (None if head == "logits" else "softmax")
    kernel, bias = (numbers(ops.convert_to_tensor(w)) for w in top.weights)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    np.testing.assert_allclose(numbers(logits), seen @ kernel + bias, rtol=2e-5, atol=2e-5)
    np.testing.assert_array_equal(numbers(answer), numbers(model(inputs)))  # stay the model's own


def test_nothing_of_the_model_changes():
    model, inputs, _ = net(layers.Dropout(0.5))
    before = [np.array(v) for v in model.variables], keras.random.uniform((), seed=1)
    split(model, inputs)
    for was, now in zip(before[0], model.variables, strict=True):
        np.testing.assert_array_equal(was, np.array(now))
