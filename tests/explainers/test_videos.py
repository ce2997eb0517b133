"""Videos: maps over frames, whatever looks at them; a planted frame and place leads."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_explain as kx

FRAMES, SIDE, AT = 5, 6, (3, 1, 4)
NETS = {
    "3-D convolution": lambda x: layers.Conv3D(3, 3, padding="same", activation="relu")(x),
    "ConvLSTM": lambda x: layers.ConvLSTM2D(3, 3, padding="same", return_sequences=True)(x),
    "TimeDistributed": lambda x: layers.TimeDistributed(layers.Conv2D(3, 3, padding="same"))(x),
}
METHODS = {
    "saliency": {}, "gradient_x_input": {}, "integrated_gradients": {"steps": 8},
    "smooth_grad": {"samples": 4}, "occlusion": {"patch_size": 1, "score": "logit"},
}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("method", METHODS)
def test_a_planted_place_in_a_frame_leads(method, net):
    keras.utils.set_random_seed(0)
    video = keras.Input((FRAMES, SIDE, SIDE, 2))
    seen = NETS[net](video)
    cue = ops.sum(video[:, AT[0], AT[1], AT[2]] ** 2, axis=-1, keepdims=True)
    beside = layers.Dense(1, kernel_initializer=keras.initializers.RandomNormal(0, 0.02))(
        layers.Flatten()(seen))
    model = keras.Model(video, cue + beside)
    x = np.random.default_rng(0).normal(size=(2, FRAMES, SIDE, SIDE, 2)).astype("float32")
    x[:, AT[0], AT[1], AT[2]] = 3
    maps = ops.convert_to_numpy(
        getattr(kx, method)(model, **METHODS[method])(x)["heatmap"])
    assert maps.shape == (2, FRAMES, SIDE, SIDE)
    for one in np.abs(maps):
        assert np.unravel_index(one.argmax(), one.shape) == AT


def test_a_filmstrip_of_the_frames_of_a_video():
    """Each frame with its own part of the map, in one scale."""
    frames = np.full((FRAMES, SIDE, SIDE, 3), 200, np.uint8)
    maps = np.zeros((FRAMES, SIDE, SIDE))
    maps[AT] = 1
    limits = kx.images.color_limits(maps)
    overlays = kx.images.overlay(frames, maps, limits=limits)
    changed = [np.ptp(o.reshape(-1, 3).astype(int), axis=0).max() > 30 for o in overlays]
    assert changed == [i == AT[0] for i in range(FRAMES)]
    strip = kx.images.filmstrip(overlays, [str(i) for i in range(FRAMES)])
    assert strip.shape[1] > strip.shape[0] and strip.dtype == np.uint8
