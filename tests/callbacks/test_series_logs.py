"""Series in callbacks: a picture of the lines, and a map that lies under them."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_explain as kx
from keras_explain.callbacks._series import BAND, ROWS, draw_lines, lay_under

from .conftest import decode


def make_series(channels):
    x = keras.Input((40, channels))
    y = layers.Conv1D(6, 5, activation="relu", padding="same")(x)
    y = layers.GlobalMaxPooling1D()(y)
    model = keras.Model(x, layers.Dense(2, activation="softmax")(y))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model, np.random.default_rng(0).normal(size=(8, 40, channels)).astype("float32")


@pytest.mark.parametrize("channels, keep", [(1, False), (3, False), (3, True)])
def test_a_series_is_logged_as_a_picture_with_its_map(tmp_path, read, channels, keep):
    keras.utils.set_random_seed(1)
    model, x = make_series(channels)
    options = {"channels": "keep"} if keep else {}
    callback = kx.callbacks.OcclusionCallback(x[:2], log_dir=tmp_path, patch_size=5, **options)
    model.fit(x, np.zeros(8), verbose=0, callbacks=[callback])
    log = read(tmp_path / "explanations" / "occlusion")
    (about,) = log.texts("occlusion/about")
    assert about["kind"] == "image"
    picture = decode(log.blobs("occlusion/pictures")[0][0])
    assert picture.shape[:2] == (BAND * channels, 480) and picture.min() < 80 < 230 < picture.max()
    (atlas,) = log.blobs("occlusion/maps")[-1]
    levels = decode(atlas)
    assert levels.size == 2 * 40 * (ROWS * channels if keep else 1) and levels.std() > 1
    overlay = decode(log.blobs("occlusion/0/overlay")[-1][2])
    assert len(np.unique(overlay.reshape(-1, overlay.shape[-1]), axis=0)) > 50


def test_a_class_activation_map_of_a_series_is_no_empty_cell(tmp_path, read):
    keras.utils.set_random_seed(1)
    model, x = make_series(1)
    model.fit(x, np.zeros(8), verbose=0, callbacks=[
        kx.callbacks.GradCAMCallback(x[:2], log_dir=tmp_path)])
    (name,) = [folder.name for folder in (tmp_path / "explanations").iterdir()]
    log = read(tmp_path / "explanations" / name)
    assert log.steps(f"{name}/0/overlay") and log.texts(f"{name}/about")[0]["kind"] == "image"


@pytest.mark.parametrize("domain, places", [("time", 40), ("frequency", 21)])
@pytest.mark.parametrize("named", [True, False])
def test_lime_of_a_series_is_logged_with_its_segments_behind(tmp_path, read, domain, places, named):
    keras.utils.set_random_seed(1)
    model, x = make_series(3)

    def build(model):
        return kx.LimeSeriesExplainer(model, domain=domain, segments=4)

    callback = kx.callbacks.LimeCallback(x[:2], explainer=build, samples=50, log_dir=tmp_path) if (
        named) else kx.callbacks.ExplanationCallback(build, x[:2], name="lime", log_dir=tmp_path)
    model.fit(x, np.zeros(8), verbose=0, callbacks=[callback])
    log = read(tmp_path / "explanations" / "lime")
    (about,) = log.texts("lime/about")
    assert about["kind"] == "image"
    picture = decode(log.blobs("lime/pictures")[0][0])
    assert picture.shape[0] == BAND * 3 and picture.min() < 80 < 230 < picture.max()
    (atlas,) = log.blobs("lime/maps")[-1]
    levels = decode(atlas)
    assert levels.size == 2 * places * 3 * ROWS and levels.std() > 1


def test_lime_of_a_spectrogram_is_logged_with_low_frequencies_below(tmp_path, read):
    times = np.arange(256)
    x = np.sin(times * 0.2).astype("float32")[None].repeat(2, 0)
    inputs = keras.Input((256,))
    power = keras.ops.mean(keras.ops.square(inputs), axis=1, keepdims=True)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(power))
    model.compile("sgd", "sparse_categorical_crossentropy")

    def build(model):
        return kx.LimeSeriesExplainer(model, domain="spectrogram", segments=4)

    model.fit(x, np.zeros(2), verbose=0, callbacks=[kx.callbacks.LimeCallback(
        x, explainer=build, samples=100, log_dir=tmp_path)])
    log = read(tmp_path / "explanations" / "lime")
    picture = decode(log.blobs("lime/pictures")[0][0])
    assert picture[-3:].mean() < picture[:-3].mean() - 50
    (atlas,) = log.blobs("lime/maps")[-1]
    levels = decode(atlas)
    assert levels.size == 2 * 17 * 33 and levels.std() > 1


def test_lines_go_where_the_numbers_go_and_maps_lie_under_them():
    x = np.stack([np.linspace(0, 1, 40), np.linspace(1, 0, 40), np.ones(40)], axis=-1)[None]
    picture = draw_lines(x)[0][..., 0]
    for channel, ends in enumerate([(43, 4), (4, 43), (24, 24)]):
        band = picture[BAND * channel : BAND * (channel + 1)]
        at = [np.flatnonzero(band[:, column] < 128).mean() for column in (0, -1)]
        np.testing.assert_allclose(at, ends, atol=1.5)
    maps = np.zeros((1, 40, 3))
    maps[0, 30, 2] = 1
    white = np.full((1, BAND * 3, 480, 3), 255, np.uint8)
    empty, hot = (kx.images.overlay(white, lay_under(m), signed=True)[0] for m in (-maps, maps))
    rows, columns = np.nonzero(np.abs(hot.astype(int) - empty).sum(axis=-1) > 60)
    assert rows.min() >= 1.8 * BAND and 340 < columns.mean() < 390
