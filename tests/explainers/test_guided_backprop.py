import by_hand
import keras
import numpy as np
import pytest
from keras import layers, ops
from models import alive

import keras_explain as kx


def back(upstream, kernel, shape):
    """The gradient of a valid convolution by its input."""
    found = np.zeros(shape)
    for y, x in np.ndindex(*upstream.shape[:2]):
        found[y : y + kernel.shape[0], x : x + kernel.shape[1]] += kernel @ upstream[y, x]
    return found


def by_the_rule(image):
    """Back through the network by hand; each ReLU stops negative gradients as well."""
    _, twin = by_hand.network()
    first = by_hand.convolve(image, *twin.first)
    second = by_hand.convolve(np.maximum(first, 0), *twin.second)
    upstream = twin.top[0][:, twin.top_class(image)].reshape(second.shape)
    upstream = np.maximum(upstream, 0) * (second > 0)
    upstream = back(upstream, twin.second[0], first.shape)
    upstream = np.maximum(upstream, 0) * (first > 0)
    return back(upstream, twin.first[0], image.shape)


def test_is_the_backward_pass_by_hand():
    batch = by_hand.images(3)
    wanted = np.stack([by_the_rule(image) for image in batch])
    found = by_hand.explain(kx.guided_backprop, batch, signed=True)
    by_hand.close(found, wanted.sum(axis=-1))
    by_hand.close(by_hand.explain(kx.guided_backprop, batch), np.abs(wanted).max(axis=-1))


def twins(name, nested=False):
    """The same network with its ReLUs written in another way."""
    relu = {
        "fused": "relu",
        "layer": layers.ReLU(),
        "activation layer": layers.Activation("relu"),
        "operation": ops.relu,
        "function": keras.activations.relu,
        "relu6": "relu6",
        "relu6 layer": layers.ReLU(max_value=6.0),
        "relu6 operation": ops.relu6,
    }[name]
    x = inputs = keras.Input((7, 6, 3))
    x = layers.Conv2D(4, 3, activation=relu if isinstance(relu, str) else None)(x)
    x = x if isinstance(relu, str) else relu(x)
    x = layers.Conv2D(5, 2)(x)
    x = layers.Dense(3)(layers.Flatten()(layers.Activation("tanh")(x)))
    model = keras.Model(inputs, x)
    if nested:
        outer = keras.Input((7, 6, 3))
        model = keras.Model(outer, layers.Softmax()(model(outer)))
    rng = np.random.default_rng(2)
    for v in model.trainable_variables:
        v.assign(rng.normal(size=v.shape) / np.sqrt(np.prod(v.shape[:-1])))
    return model


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("name", ["fused", "layer", "activation layer", "operation", "function",
                                  "relu6", "relu6 layer", "relu6 operation"])
def test_every_way_to_write_a_relu_is_guided(name, nested):
    batch = 4 * by_hand.images(2) - 2
    found = kx.guided_backprop(twins(name, nested), target=1, signed=True)(batch)["heatmap"]
    plain = kx.saliency(twins(name, nested), target=1, signed=True)(batch)["heatmap"]
    wanted = kx.guided_backprop(twins("relu6" if "6" in name else "fused"), target=1,
                                signed=True)(batch)["heatmap"]
    found, plain, wanted = (ops.convert_to_numpy(x) for x in (found, plain, wanted))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(found - plain).max() > 0.05 * np.abs(plain).max()


def test_relu6_stops_at_six():
    inputs = keras.Input((3,))
    x = layers.Dense(3, activation="relu6", use_bias=False, name="top")(inputs)
    model = keras.Model(inputs, ops.sum(x, axis=-1, keepdims=True))
    model.get_layer("top").kernel.assign(np.eye(3))
    found = kx.guided_backprop(model)(np.array([[-1.0, 5.0, 7.0]], "float32"))["heatmap"]
    np.testing.assert_allclose(ops.convert_to_numpy(found), [[0, 1, 0]])


def test_predictions_are_the_models_own():
    model, _ = by_hand.network()
    batch = by_hand.images(3)
    found = kx.guided_backprop(model).predict(batch, verbose=0)["predictions"]
    np.testing.assert_allclose(found, model.predict(batch, verbose=0), atol=1e-6)


@pytest.mark.parametrize("make", [
    lambda: layers.Activation("tanh"), layers.LeakyReLU, lambda: layers.ReLU(negative_slope=0.1)])
def test_refuses_a_model_without_relu(make):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), make(), layers.Dense(2)])
    with pytest.raises(ValueError, match="Expected a model with ReLU.*Use `saliency`"):
        kx.guided_backprop(model)


def test_guided_grad_cam_is_the_product():
    model, _ = by_hand.network()
    batch = by_hand.images(3)
    for layer in ("features", ["features", "more"]):
        coarse = kx.grad_cam(model, layer=layer)(batch)["heatmap"]
        fine = ops.convert_to_numpy(kx.guided_backprop(model)(batch)["heatmap"])
        found = kx.guided_grad_cam(model, layer=layer)(batch)["heatmap"]
        if layer == "features":
            coarse, found = {"one": coarse}, {"one": found}
        for name, map_ in coarse.items():
            wanted = ops.convert_to_numpy(map_) * fine
            assert wanted.any()
            np.testing.assert_allclose(ops.convert_to_numpy(found[name]), wanted, atol=1e-6)


# ReLUs that are written as functions ---------------------------------------------------------


def native(x):
    """What the backend itself calls a ReLU."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.nn.relu(x)
    if backend == "jax":
        import jax

        return jax.nn.relu(x)
    import torch

    return torch.relu(x)


class ByHand(layers.Layer):
    def call(self, x):
        return ops.maximum(x, 0)


class Weighted(layers.Layer):
    """Weights of its own and a ReLU in one step: the backend's own code cannot be recorded."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 16), initializer="glorot_normal")

    def call(self, x):
        return self.function(x @ self.kernel) - 0.1

    function = staticmethod(native)


def beside_a_relu(step):
    """A model with `step` between two ordinary ReLUs."""
    inputs = keras.Input((6,))
    x = step(layers.Dense(16, activation="relu")(inputs) - 0.2)
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(16, activation="relu")(x)))
    return alive(model, None, 1)


@pytest.mark.parametrize("step", [
    lambda: layers.Activation(native), lambda: layers.Dense(16, activation=native),
    lambda: layers.Dense(16, activation=ops.relu), lambda: layers.Lambda(native),
    lambda: layers.Lambda(lambda x: ops.clip(x, 0, 6.0)), ByHand,
    lambda: layers.Dense(16, activation=lambda x: x * ops.cast(x > 0, x.dtype))])
def test_functions_that_compute_a_relu_are_guided(step):
    model = beside_a_relu(step())
    x = inputs = keras.Input((6,))
    for layer in model.layers[1:]:
        if isinstance(layer, layers.Dense):
            dense = layers.Dense(16 if layer is not model.layers[-1] else 2)
            x = dense(x)
            dense.set_weights(layer.get_weights())
            x = x if layer is model.layers[-1] else layers.ReLU()(x)
            x = x - 0.2 if layer is model.layers[1] else x
        elif not isinstance(layer, keras.Operation) or isinstance(layer, (
                layers.Activation, layers.Lambda, ByHand)):
            x = layers.ReLU()(x)
    batch = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
    twin = keras.Model(inputs, x)
    np.testing.assert_allclose(*(ops.convert_to_numpy(m(batch)) for m in (model, twin)), atol=1e-6)
    found, wanted = (ops.convert_to_numpy(kx.guided_backprop(m, target=1, signed=True)(batch)[
        "heatmap"]) for m in (model, twin))
    assert np.count_nonzero(wanted) > 40
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("step", [
    Weighted, lambda: layers.Lambda(lambda x: native(x) + 1),
    lambda: layers.Lambda(lambda x: native(x - 0.5) @ np.ones((16, 16), "float32")),
    lambda: layers.Dense(16, activation=lambda x: native(x) ** 2)])
def test_a_relu_out_of_reach_is_an_error(step):
    layer = step()
    with pytest.raises(ValueError, match=f"received one inside '{layer.name}'.*Use `saliency`"):
        kx.guided_backprop(beside_a_relu(layer))


@pytest.mark.parametrize("cell", [
    lambda: layers.SimpleRNN(3, activation="relu"), lambda: layers.GRU(3, activation="relu"),
    lambda: layers.LSTM(3, recurrent_activation="relu"),
    lambda: layers.Bidirectional(layers.SimpleRNN(3, activation="relu"))])
def test_a_relu_in_a_recurrence_is_out_of_reach(cell):
    inputs = keras.Input((5, 2))
    layer = cell()
    x = layers.Dense(2)(layers.Dense(16, activation="relu")(layer(inputs)))
    with pytest.raises(ValueError, match=f"received one inside '{layer.name}'"):
        kx.guided_backprop(keras.Model(inputs, x))


@pytest.mark.parametrize("step", [
    lambda: layers.Lambda(lambda x: ops.abs(x)), lambda: layers.Lambda(lambda x: x / 255),
    lambda: layers.Lambda(lambda x: ops.max(x[:, :3], axis=-1, keepdims=True)),
    lambda: layers.Lambda(lambda x: ops.clip(x, -1, 1)), lambda: layers.Lambda(ops.sin),
    lambda: layers.Lambda(lambda x: ops.sin(12 * ops.matmul(x, ops.ones((16, 16))))),
    lambda: layers.Lambda(ops.gelu), lambda: layers.Lambda(ops.softmax),
    lambda: layers.Lambda(lambda x: ops.where(x > 0, x, 0.1 * x)), layers.PReLU,
    lambda: layers.Activation("hard_silu"), lambda: layers.Dense(16, activation="hard_sigmoid"),
    lambda: layers.Lambda(lambda x: ops.normalize(x, axis=-1)),
    lambda: layers.LSTM(3), lambda: layers.GRU(3)])
def test_what_is_no_relu_is_left_alone(step):
    layer = step()
    if isinstance(layer, layers.RNN):
        layer = keras.Sequential([layers.Reshape((4, 4)), layer])
    model = beside_a_relu(layer)
    assert kx.guided_backprop(model)(np.ones((1, 6), "float32"))["heatmap"].shape == (1, 6)
