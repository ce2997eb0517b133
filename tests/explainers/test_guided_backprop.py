import by_hand
import keras
import numpy as np
import pytest
from keras import layers, ops

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
