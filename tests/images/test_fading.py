"""Heatmaps fade where the fills that they average disagree, wherever they are drawn."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_explain as kx
from keras_explain import images
from keras_explain.callbacks._sources import make_source


def test_what_is_left_is_what_exceeds_the_disagreement():
    rng = np.random.default_rng(0)
    each = rng.normal(size=(4, 5, 6)) + rng.normal(size=(5, 6)) * 2
    mean, spread = each.mean(0), each.std(0)
    faded = images.fade(mean, spread)
    assert ((faded == 0) == (np.abs(mean) <= spread)).all() and (faded != 0).any()
    np.testing.assert_allclose(np.abs(mean) - np.abs(faded), np.minimum(spread, np.abs(mean)),
                               atol=1e-6)
    assert (np.sign(faded)[faded != 0] == np.sign(mean)[faded != 0]).all()


def test_shapes_that_differ():
    with pytest.raises(ValueError, match="disagreement of the heatmap's shape .2, 2.*outputs"):
        images.fade(np.zeros((2, 2)), np.zeros((2, 3)))


def test_callbacks_draw_faded_maps():
    image = keras.Input((12, 10, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(image))
    model = keras.Model(image, layers.Dense(2)(x))
    explained = kx.occlusion(model, patch_size=4, stride=2, baseline="several")
    x = np.random.default_rng(0).normal(size=(2, 12, 10, 1)).astype("float32")
    out = explained.predict(x, verbose=0)
    columns, _ = make_source(explained, model, None).columns(x)
    want = images.fade(out["heatmap"], out["disagreement"])
    assert np.abs(want - out["heatmap"]).max() > 0
    np.testing.assert_allclose(columns[""].maps, want, atol=1e-6)
