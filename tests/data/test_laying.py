"""Heatmaps over the raw picture: a spot must stay where it is in the picture."""

import numpy as np
import pytest
from keras import layers, ops

from keras_explain.data.laying import measure


def spot(size, center, width):
    rows, columns = np.ogrid[: size[0], : size[1]]
    return np.exp(-((rows - center[0]) ** 2 + (columns - center[1]) ** 2) / 2 / width**2)


def center_of(heatmap):
    rows, columns = np.indices(heatmap.shape)
    return (rows * heatmap).sum() / heatmap.sum(), (columns * heatmap).sum() / heatmap.sum()


RESIZE = {
    "stretch": {},
    "crop": {"crop_to_aspect_ratio": True},
    "pad": {"pad_to_aspect_ratio": True},
    "smooth": {"antialias": True},
    "nearest": {"interpolation": "nearest"},
}


@pytest.mark.parametrize("size", [(48, 60), (150, 90), (20, 20)])
@pytest.mark.parametrize("how", RESIZE)
def test_a_spot_goes_back_to_its_place(how, size):
    resize = layers.Resizing(32, 32, **RESIZE[how])

    def prepare(x):
        return ops.convert_to_numpy(resize(x)) * 0.02 - 1

    frame = measure(prepare, (*size, 3))
    center = 0.45 * size[0], 0.55 * size[1]
    raw = spot(size, center, min(size) / 12).astype("float32")
    seen = ops.convert_to_numpy(resize(np.repeat(raw[None, ..., None], 3, -1)))[..., 0]
    back = frame.to_raw(seen)
    assert back.shape == (1, *size)
    np.testing.assert_allclose(center_of(back[0]), center, atol=0.3)
    if how != "smooth":  # a triangle and a line are not the same filter
        there = frame.to_network(raw[None])
        np.testing.assert_allclose(center_of(there[0]), center_of(seen[0]), atol=0.3)


def test_a_mirrored_crop_goes_back_and_nothing_lies_outside():
    frame = measure(lambda x: x[:, 10:30, 35:5:-1], (40, 50, 1))
    raw = spot((40, 50), (15, 12), 2.0)
    back = frame.to_raw(raw[None, 10:30, 35:5:-1])[0]
    np.testing.assert_allclose(back[10:30, 6:36], raw[10:30, 6:36], atol=1e-6)
    assert not back[:9].any() and not back[31:].any() and not back[:, :5].any()


def test_channels_first():
    frame = measure(lambda x: x[:, :, 4:, :], (3, 12, 10), channels_last=False)
    assert (frame.raw, frame.size) == ((12, 10), (8, 10))
    np.testing.assert_allclose(frame.axes[0][:2], (1, 4), atol=1e-5)


def test_what_moves_nothing_says_so():
    frame = measure(lambda x: x / 127.5 - 1, (12, 10, 3))
    assert not frame.moves


def test_a_rotation_is_warned_of():
    with pytest.warns(UserWarning, match="stretched over the whole picture"):
        measure(lambda x: np.rot90(x, axes=(1, 2)), (12, 10, 3))
