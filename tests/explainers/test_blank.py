"""A blank map comes with its true cause, and with what helps."""

import keras
import numpy as np
import pytest
from keras import layers
from models import KINDS, alive, draw
from running import heatmap
from test_heads import quadrants, squares

import keras_explain as kx


def cause(explained, x):
    """The warning of a blank map."""
    with pytest.warns(kx.BlankHeatmapWarning) as caught:
        assert not heatmap(explained, x).any()
    (text,) = [str(w.message) for w in caught if w.category is kx.BlankHeatmapWarning]
    return text


def confident(lead):
    """A softmax of which the first logit is ahead of the others."""
    x = keras.Input((6, 5, 1))
    y = layers.Dense(3, name="top")(layers.Flatten()(x))
    y = y + np.array([lead, 0, 0], "float32")
    model = alive(keras.Model(x, layers.Softmax()(y)), None)
    return model, draw((6, 5, 1), 2)


@pytest.mark.parametrize("build", [kx.saliency, kx.occlusion, kx.rise])
def test_a_saturated_probability(build):
    model, x = confident(200)
    text = cause(build(model, score="probability"), x)
    assert "The probability, 1, is saturated" in text and 'Use score="log_odds"' in text
    assert heatmap(build(model, score="log_odds"), x).any()


def test_evidence_against_the_class():
    x = keras.Input((8, 8, 1))
    y = layers.Conv2D(2, 3, activation="relu", kernel_initializer="ones", name="conv")(x)
    top = layers.Dense(2, name="top")
    model = keras.Model(x, top(layers.GlobalAveragePooling2D()(y)))
    top.set_weights([np.array([[-1.0, 2.0], [-3.0, 1.0]]), np.array([100.0, 0.0])])
    x = draw((8, 8, 1), 2)
    text = cause(kx.grad_cam(model, target=0), x)
    assert "All evidence in the feature map speaks against the class" in text
    assert "`hires_cam(signed=True)`" in text
    assert heatmap(kx.hires_cam(model, target=0, signed=True), x).max() < 0


@pytest.mark.filterwarnings("ignore:Expected a model that averages")
def test_evidence_that_a_mean_cancels():
    text = cause(kx.grad_cam(quadrants()), squares()[0])
    assert "not in the mean over the map" in text and "Use `hires_cam`" in text


def test_a_dead_feature_map():
    kind = KINDS["dead_layer"]
    text = cause(kx.grad_cam(kind.model), kind.inputs(2))
    assert "The feature map of 'dead' is zero everywhere, a dead layer." in text


@pytest.mark.parametrize("build", [kx.saliency, kx.occlusion, kx.rise])
def test_a_dead_layer_is_named(build):
    kind = KINDS["dead_layer"]
    text = cause(build(kind.model), kind.inputs(2))
    assert "The step 'dead' gives the same for every input" in text


def test_a_dead_head_behind_a_feature_map():
    x = keras.Input((8, 8, 1))
    y = layers.Conv2D(2, 3, activation="relu", name="conv")(x)
    y = layers.GlobalAveragePooling2D()(y)
    y = layers.Dense(3, activation="relu", kernel_initializer="zeros", name="hidden")(y)
    model = keras.Model(x, layers.Dense(2, name="top")(y))
    text = cause(kx.grad_cam(model), draw((8, 8, 1), 2))
    assert "The step 'hidden' gives the same for every input" in text


@pytest.mark.parametrize("build", [kx.occlusion, kx.rise])
def test_a_patch_that_hides_nothing(build):
    model, _ = confident(0)
    text = cause(build(model), np.full((2, 6, 5, 1), 0.5, "float32"))
    assert "the input is its own baseline" in text and "`baseline=`" in text


def test_an_input_that_does_not_count():
    one, two = keras.Input((4,), name="one"), keras.Input((4,), name="two")
    model = alive(keras.Model([one, two], [layers.Dense(2)(one), layers.Dense(2)(two)]), None)
    explained = kx.occlusion(model, output=0, input=1, baseline=0.0)
    text = cause(explained, [draw((4,), 2), draw((4,), 2)])
    assert "The explained score does not depend on ['two']" in text


def test_each_cause_is_told_for_its_examples():
    model, x = confident(200)
    x = np.concatenate([x, np.full((1, 6, 5, 1), 0.5, "float32")])
    text = cause(kx.occlusion(model, score="probability", target=(-1, -1, -1)), x)
    assert "3 of 3" in text and "saturated" in text and "its own baseline" in text
