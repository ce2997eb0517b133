"""The same numbers as Captum (0.9.0), on the same Keras model object under the PyTorch backend.

Captum wants channels first, so the models here are. Its Grad-CAM reads a layer by a forward hook,
which Keras's layers run like any `torch.nn.Module`'s; its guided backpropagation knows ReLU only as
`torch.nn.ReLU`, so there a twin in plain PyTorch with the same weights stands in.
"""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_explain as kx

pytestmark = pytest.mark.filterwarnings("ignore:Input Tensor 0 did not", "ignore:Setting backward")
if keras.backend.backend() != "torch":
    pytest.skip("Captum explains PyTorch models", allow_module_level=True)
captum = pytest.importorskip("captum.attr")
torch = pytest.importorskip("torch")

CLASS = 2
IMAGES = np.random.default_rng(1).normal(size=(3, 3, 16, 12)).astype("float32")


@pytest.fixture(scope="module")
def model():
    first = {"data_format": "channels_first"}
    inputs = keras.Input((3, 16, 12))
    x = layers.Conv2D(6, 3, activation="relu", name="conv1", **first)(inputs)
    x = layers.MaxPooling2D(2, **first)(x)
    x = layers.Conv2D(8, 3, activation="relu", name="conv2", **first)(x)
    x = layers.Dense(4, name="top")(layers.Flatten(**first)(x))
    model = keras.Model(inputs, x)
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        fan = np.prod(v.shape[:-1]) if len(v.shape) > 1 else 25
        v.assign(rng.normal(size=v.shape) * np.sqrt(2 / fan))
    return model


def images():
    return torch.tensor(IMAGES)


def explain(builder, model, **options):
    out = builder(model, target=CLASS, **options).predict(IMAGES, verbose=0)
    return out if "completeness_gap" in out else out["heatmap"]


def close(found, captums):
    captums = captums.detach().numpy().astype("float64")
    assert np.ptp(captums) > 1e-2
    assert found.shape == captums.shape
    assert np.abs(found - captums).max() < 1e-4 * np.ptp(captums)


def test_saliency(model):
    theirs = captum.Saliency(model).attribute(images(), target=CLASS, abs=False)
    close(explain(kx.saliency, model, signed=True), theirs.sum(dim=1))
    close(explain(kx.saliency, model), theirs.abs().amax(dim=1))


def test_gradient_x_input(model):
    theirs = captum.InputXGradient(model).attribute(images(), target=CLASS)
    close(explain(kx.gradient_x_input, model), theirs.sum(dim=1))


@pytest.mark.parametrize("ours, captums", [
    ("gauss_legendre", "gausslegendre"), ("midpoint", "riemann_middle")])
@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_integrated_gradients(model, ours, captums, baseline):
    theirs, gap = captum.IntegratedGradients(model).attribute(
        images(), baseline, target=CLASS, n_steps=20, method=captums, return_convergence_delta=True)
    out = explain(kx.integrated_gradients, model, baseline=baseline, steps=20, method=ours)
    close(out["heatmap"], theirs.sum(dim=1))
    np.testing.assert_allclose(out["completeness_gap"], gap.detach().numpy(), atol=1e-4)


@pytest.fixture(scope="module")
def transformer():
    """One block over tokens, whose embedding of id 0 is the zero from which we set out."""
    keras.utils.set_random_seed(0)
    ids = keras.Input((7,), dtype="int32")
    words = layers.Embedding(20, 8, name="words")
    x = words(ids) + keras.Variable(np.random.default_rng(3).normal(size=(7, 8)))
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4)(x, x))
    x = layers.Dense(8, "gelu")(x)
    model = keras.Model(ids, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        v.assign(rng.normal(size=v.shape) * 0.6)
    words.embeddings.assign(words.embeddings * (np.arange(20) > 0)[:, None])
    return model


@pytest.mark.parametrize("ours, captums", [
    ("gauss_legendre", "gausslegendre"), ("midpoint", "riemann_middle")])
@pytest.mark.parametrize("baseline", [0, 3])
def test_integrated_gradients_of_an_embedding(transformer, ours, captums, baseline):
    ids = np.random.default_rng(2).integers(1, 20, (3, 7)).astype("int32")
    theirs, gap = captum.LayerIntegratedGradients(
        transformer, transformer.get_layer("words")).attribute(
            torch.tensor(ids), torch.full((3, 7), baseline), target=CLASS, n_steps=20,
            method=captums, return_convergence_delta=True)
    out = kx.integrated_gradients(
        transformer, target=CLASS, steps=20, method=ours, baseline=float(baseline)).predict(
            ids, verbose=0)
    close(out["heatmap"], theirs.sum(dim=-1))
    np.testing.assert_allclose(out["completeness_gap"], gap.detach().numpy(), atol=1e-4)


@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_grad_cam(model, layer):
    theirs = captum.LayerGradCam(model, model.get_layer(layer)).attribute(
        images(), target=CLASS, relu_attributions=True)
    close(explain(kx.grad_cam, model, layer=layer, resize=False), theirs[:, 0])


def test_gradient_x_activation_is_signed_hires_cam(model):
    theirs = captum.LayerGradientXActivation(model, model.get_layer("conv1")).attribute(
        images(), target=CLASS)
    found = explain(kx.hires_cam, model, layer="conv1", resize=False, signed=True)
    close(found, theirs.sum(dim=1))


@pytest.mark.parametrize("patch, stride", [((4, 4), (4, 4)), ((4, 3), (2, 3)), ((6, 4), (5, 2))])
def test_occlusion(model, patch, stride):
    """On grids that fit the image: at a border that does not fit, Captum cuts the last patch
    off, where ours shifts it inward and keeps its size."""
    theirs = captum.Occlusion(model).attribute(
        images(), sliding_window_shapes=(3, *patch), strides=(3, *stride), baselines=0.5,
        target=CLASS)
    found = explain(kx.occlusion, model, patch_size=patch, stride=stride, baseline=0.5,
                    score="logit")
    close(found, theirs[:, 0])


def test_guided_backprop(model):
    """Captum finds no ReLU in the Keras model and says nothing: its map is the plain gradient."""
    theirs = captum.GuidedBackprop(plain_twin(model)).attribute(images(), target=CLASS)
    close(explain(kx.guided_backprop, model, signed=True), theirs.sum(dim=1))
    unguided = captum.GuidedBackprop(model).attribute(images(), target=CLASS)
    close(explain(kx.saliency, model, signed=True), unguided.sum(dim=1))


def test_guided_grad_cam(model):
    """Captum's map is the same product; its own enlargement aligns corners, so it is asked for
    the nearest cell, and ours is enlarged in the same way."""
    twin = plain_twin(model)
    theirs = captum.GuidedGradCam(twin, twin[4]).attribute(
        images(), target=CLASS, interpolate_mode="nearest")
    coarse = explain(kx.grad_cam, model, layer="conv2", resize=False)
    rows = np.arange(16) * coarse.shape[1] // 16
    columns = np.arange(12) * coarse.shape[2] // 12
    fine = explain(kx.guided_backprop, model, signed=True)
    close(coarse[:, rows][:, :, columns] * fine, theirs.sum(dim=1))


def plain_twin(model):
    """The network in plain PyTorch, with `torch.nn.ReLU`s."""
    twin = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(6, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(120, 4))
    with torch.no_grad():
        for module, layer in zip((twin[0], twin[3], twin[6]), ("conv1", "conv2", "top"),
                                 strict=True):
            kernel, bias = (torch.tensor(w) for w in model.get_layer(layer).get_weights())
            if layer == "top":  # Keras flattens channels first as channels last
                order = torch.arange(120).reshape(8, 5, 3).permute(1, 2, 0).flatten()
                weight = torch.empty(4, 120)
                weight[:, order] = kernel.T
                module.weight.copy_(weight)
            else:
                module.weight.copy_(kernel.permute(3, 2, 0, 1))
            module.bias.copy_(bias)
    ours = ops.convert_to_numpy(model(IMAGES))
    np.testing.assert_allclose(twin(images()).detach().numpy(), ours, atol=1e-4)
    return twin
