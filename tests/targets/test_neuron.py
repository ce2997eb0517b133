"""What a channel of a layer looks for: closed forms, and errors."""

import keras
import numpy as np
import pytest
from keras import layers
from running import heatmap, run

import keras_explain as kx
from keras_explain.targets import Neuron

QUARTERS = np.arange(10)[:, None] // 5 * 2 + np.arange(8) // 4


def network():
    keras.utils.set_random_seed(1)
    inner = keras.Sequential([
        keras.Input((10, 8, 2)), layers.Conv2D(3, 3, activation="gelu", name="first"),
        layers.Conv2D(4, 3, name="second")], name="backbone")
    image = keras.Input((10, 8, 2))
    return keras.Model(image, layers.Dense(3, "softmax", name="classes")(
        layers.GlobalAveragePooling2D()(inner(image))))


def pictures():
    return np.random.default_rng(0).random((2, 10, 8, 2), "float32")


def inside(model, x, layer="second"):
    backbone = model.get_layer("backbone")
    return run(keras.Model(backbone.inputs, backbone.get_layer(layer).output), x)


@pytest.mark.parametrize("target, ask", [
    (Neuron("second", 2), lambda z: z[..., 2].mean(axis=(1, 2))),
    (Neuron("backbone/second", 1, (3, 2)), lambda z: z[:, 3, 2, 1])])
def test_occlusion_is_the_drop_of_the_channel(target, ask):
    model, x = network(), pictures()
    found = heatmap(kx.occlusion(model, target=target, patch_size=1, stride=1, baseline=0.0), x)
    hidden = x.copy()
    hidden[:, 4, 3] = 0
    np.testing.assert_allclose(
        found[:, 4, 3], ask(inside(model, x)) - ask(inside(model, hidden)), atol=1e-6)


def test_a_place_sees_its_receptive_field():
    for builder in (kx.saliency, kx.integrated_gradients):
        found = heatmap(builder(network(), target=Neuron("second", 0, (3, 2))), pictures())
        assert found[:, 3:8, 2:7].any(axis=(1, 2)).all()
        found[:, 3:8, 2:7] = 0
        assert not found.any()


def test_units_of_dense_layers_have_no_place():
    model, x = network(), pictures()
    found, wanted = (heatmap(kx.saliency(model, target=t, signed=True, score=s), x)
                     for t, s in ((Neuron("classes", 1), "logit"), (1, "probability")))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_class_activation_map_shows_where_the_channel_is_active():
    found = heatmap(kx.hires_cam(network(), target=Neuron("second", 2), signed=True,
                                 layer="second", resize=False), pictures())
    active = inside(network(), pictures())[..., 2]
    np.testing.assert_allclose(found, active / active[0].size, atol=1e-6)


def test_by_itself_a_class_activation_map_reads_what_the_layer_is_computed_from():
    assert kx.hires_cam(network(), target=Neuron("second", 2)).explainer.place == "backbone/first"


def test_it_is_saved_and_lime_finds_it(tmp_path):
    model, x, target = network(), pictures(), Neuron("second", 2, (1, 1))
    explained = kx.occlusion(model, target=target)
    explained.save(tmp_path / "explained.keras")
    again = keras.models.load_model(tmp_path / "explained.keras")
    np.testing.assert_allclose(heatmap(again, x), heatmap(explained, x), atol=1e-6)
    found = kx.LimeImageExplainer(model, segments=QUARTERS, baseline=0.0).explain(
        x[0], target=target, samples=16, verbose=0)
    np.testing.assert_allclose(found.prediction, inside(model, x)[0, 1, 1, 2], atol=1e-6)


@pytest.mark.parametrize("target, error, message", [
    (lambda: Neuron(3, 1), TypeError, "name of a layer, received 3"),
    (lambda: Neuron("second", 0.5), TypeError, "whole numbers.*channel=0.5"),
    (lambda: Neuron("secnd", 1), ValueError, "received 'secnd'. Did you mean.*second"),
    (lambda: Neuron("second", 4), ValueError, "`channel` from 0 to 3.*received 4"),
    (lambda: Neuron("second", 1, (6, 0)), ValueError, r"within \(6, 4\).*\(6, 0\)"),
    (lambda: Neuron("second", 1, (1,)), ValueError, r"within \(6, 4\).*\(1,\)"),
    (lambda: Neuron("classes", 1, 0), ValueError, r"within \(\).*\(0,\)"),
])
def test_errors_before_anything_is_computed(target, error, message):
    with pytest.raises(error, match=message):
        kx.saliency(network(), target=target())


def test_functions_have_no_layers():
    with pytest.raises(TypeError, match="a Keras model to look into"):
        kx.LimeImageExplainer(lambda x: x.mean(axis=(1, 2, 3))).explain(
            np.random.rand(8, 8, 3), target=Neuron("second", 1), samples=20, verbose=0)
