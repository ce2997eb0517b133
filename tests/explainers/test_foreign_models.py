"""Models of other libraries inside a Keras model, and files of older ones.

A method that needs no inner layer works on them; what it gives is compared with a Keras model
of the same function, or with the gradient that the other library computes.
"""

import keras
import numpy as np
import pytest
from keras import layers
from models import alive, draw
from running import heatmap

import keras_explain as kx
from keras_explain.lime import LimeImageExplainer

BACKEND = keras.backend.backend()
SHAPE = (12, 10, 3)
X = draw(SHAPE, 2, seed=1)
NO_LAYER = {
    "occlusion": lambda m: kx.occlusion(m, patch_size=4, stride=2, target=1),
    "rise": lambda m: kx.rise(m, samples=12, grid=3, target=1, seed=1),
    "saliency": lambda m: kx.saliency(m, target=1, score="probability"),
    "integrated_gradients": lambda m: kx.integrated_gradients(m, steps=4, target=1,
                                                              score="probability"),
}


def network(of=keras):
    x = of.Input(SHAPE)
    y = of.layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    y = of.layers.GlobalAveragePooling2D()(y)
    return of.Model(x, of.layers.Dense(3, activation="softmax")(y))


def wrapped(*inside):
    return keras.Sequential([keras.Input(SHAPE), *inside])


def assert_same(model, twin, atol=1e-5):
    """Each method gives for `model` what it gives for the Keras model of the same function."""
    want = twin.predict(X, verbose=0)
    for name, build in NO_LAYER.items():
        found = build(model).predict(X, verbose=0)
        np.testing.assert_allclose(found["predictions"], want, atol=1e-5)
        maps = build(twin).predict(X, verbose=0)["heatmap"]
        assert np.ptp(maps) > 0, name
        np.testing.assert_allclose(found["heatmap"], maps, atol=atol * np.abs(maps).max(),
                                   err_msg=name)
    assert_lime(model, want)
    assert_lime(model.predict, want)


def assert_lime(model, want):
    said = LimeImageExplainer(model, segments="grid").explain(
        X[0], target=1, samples=30, verbose=0)
    np.testing.assert_allclose(said.prediction, want[0][list(said.classes)], atol=1e-5)
    assert np.ptp(said.weights) > 0


def assert_hides_its_layers(model):
    with pytest.raises(ValueError, match="Expected a model with a convolution.*`occlusion`"):
        kx.grad_cam(model)
    with pytest.raises(ValueError, match="Expected a model with ReLU.*Use `saliency`"):
        kx.guided_backprop(model)


# Files ----------------------------------------------------------------------------------------


def test_h5(tmp_path):
    model = alive(network(), X)
    model.save(tmp_path / "model.h5")
    loaded = keras.saving.load_model(tmp_path / "model.h5", compile=False)
    assert_lime(loaded, model.predict(X, verbose=0))
    np.testing.assert_array_equal(heatmap(kx.grad_cam(loaded), X), heatmap(kx.grad_cam(model), X))
    with pytest.raises(ValueError, match="path that ends in .keras, received.*Save it as .keras"):
        kx.saliency(model).save(tmp_path / "explained.h5")
    assert not (tmp_path / "explained.h5").exists()


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf_keras computes with TensorFlow")
def test_tf_keras(tmp_path):
    theirs = alive(network(pytest.importorskip("tf_keras")), None)
    with pytest.raises(TypeError, match="tf_keras's Functional.*'model.h5'.*model.predict"):
        kx.grad_cam(theirs)
    with pytest.raises(TypeError, match="tf_keras's"):
        kx.metrics.insertion(theirs, X, X[..., 0])
    assert_lime(theirs.predict, theirs.predict(X, verbose=0))
    theirs.save(tmp_path / "model.h5")
    ours = keras.saving.load_model(tmp_path / "model.h5", compile=False)
    np.testing.assert_allclose(ours.predict(X, verbose=0), theirs.predict(X, verbose=0), atol=1e-6)
    assert heatmap(kx.grad_cam(ours), X).any()
    theirs.export(str(tmp_path / "saved"))
    model = wrapped(layers.TFSMLayer(tmp_path / "saved", call_endpoint="serve"))
    assert_same(model, ours)


# Layers of other libraries --------------------------------------------------------------------


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TFSMLayer is for TensorFlow")
def test_saved_model(tmp_path):
    twin = alive(network(), X)
    twin.export(tmp_path / "saved", verbose=False)
    model = wrapped(layers.TFSMLayer(tmp_path / "saved", call_endpoint="serve"))
    assert_same(model, twin)
    assert_hides_its_layers(model)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TFSMLayer is for TensorFlow")
def test_saved_model_of_features(tmp_path):
    """A SavedModel as the body: its feature map is named with `layer=`."""
    twin = alive(network(), X)
    body = keras.Model(twin.input, twin.get_layer("conv").output)
    body.export(tmp_path / "body", verbose=False)
    x = keras.Input(SHAPE)
    y = layers.TFSMLayer(tmp_path / "body", call_endpoint="serve", name="body")(x)
    model = keras.Model(x, twin.layers[-1](twin.layers[-2](y)))
    np.testing.assert_allclose(
        heatmap(kx.grad_cam(model, layer="body", resize=False), X),
        heatmap(kx.grad_cam(twin, layer="conv", resize=False), X), atol=1e-6)


@pytest.mark.skipif(BACKEND != "torch", reason="TorchModuleWrapper is for PyTorch")
def test_torch_module():
    import torch

    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(), torch.nn.Linear(4, 3), torch.nn.Softmax(-1))
    twin = alive(network(), X)
    convolution, dense = twin.get_layer("conv").get_weights(), twin.layers[-1].get_weights()
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), (
                convolution[0].transpose(3, 2, 0, 1), convolution[1], dense[0].T, dense[1]),
                strict=True):
            parameter.copy_(torch.tensor(value.copy()))
    with pytest.raises(TypeError, match="torch's Sequential.*TorchModuleWrapper"):
        kx.saliency(module)
    model = wrapped(layers.Permute((3, 1, 2)),
                    layers.TorchModuleWrapper(module, output_shape=(None, 3)))
    assert_same(model, twin, atol=1e-4)
    assert_hides_its_layers(model)


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "jax", reason="JaxLayer computes with JAX")
def test_jax_function():
    import jax

    twin = alive(network(), X)
    weights = [np.asarray(w) for w in twin.get_weights()]

    def compute(params, inputs):
        y = jax.lax.conv_general_dilated(inputs, params[0], (1, 1), "VALID",
                                         dimension_numbers=("NHWC", "HWIO", "NHWC"))
        y = jax.nn.relu(y + params[1]).mean((1, 2))
        return jax.nn.softmax(y @ params[2] + params[3])

    model = wrapped(layers.JaxLayer(compute, params=weights))
    assert_same(model, twin, atol=1e-4)
    assert_hides_its_layers(model)


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "jax", reason="FlaxLayer computes with JAX")
def test_flax_module():
    nn = pytest.importorskip("flax.linen")

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Conv(4, (3, 3), padding="VALID", name="conv")(x))
            return nn.softmax(nn.Dense(3, name="dense")(x.mean((1, 2))))

    twin = alive(network(), X)
    kernel, bias, dense, offset = (np.asarray(w) for w in twin.get_weights())
    with pytest.raises(TypeError, match="flax's Net.*FlaxLayer"):
        kx.saliency(Net())
    model = wrapped(layers.FlaxLayer(Net(), variables={"params": {
        "conv": {"kernel": kernel, "bias": bias}, "dense": {"kernel": dense, "bias": offset}}}))
    assert_same(model, twin, atol=1e-4)
