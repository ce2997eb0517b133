"""Frames as a GIF: read again, with their colors, their pace and a bad rate."""

import numpy as np
import pytest
from PIL import Image

from keras_explain import images


def test_frames_are_read_again(tmp_path):
    video = np.zeros((3, 8, 12, 3), "uint8")
    for number in range(3):
        video[number, :, 4 * number : 4 * number + 4] = 250, 20 * number, 0
    images.write_gif(tmp_path / "a.gif", video, rate=10)
    with Image.open(tmp_path / "a.gif") as file:
        assert file.n_frames == 3 and file.info["duration"] == 100 and file.info["loop"] == 0
        scale = file.size[0] // 12
        for number in range(3):
            file.seek(number)
            drawn = np.asarray(file.convert("RGB")).astype(int)[scale // 2 :: scale,
                                                                scale // 2 :: scale]
            assert np.abs(drawn - video[number]).max() < 12


def test_captions_stand_above(tmp_path):
    frames = np.full((2, 20, 20), 0.5)
    images.write_gif(tmp_path / "a.gif", frames)
    images.write_gif(tmp_path / "b.gif", frames, captions=["one", ""])
    with Image.open(tmp_path / "a.gif") as plain, Image.open(tmp_path / "b.gif") as named:
        assert named.size[1] > plain.size[1] and named.size[0] == plain.size[0]


@pytest.mark.parametrize("options, message", [
    ({"rate": 0}, "Expected `rate` to be frames in a second"),
    ({"rate": 100}, "up to 50"),
    ({"captions": ["a"]}, "one of `captions` for each"),
])
def test_arguments(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        images.write_gif(tmp_path / "a.gif", np.zeros((2, 8, 8)), **options)
    with pytest.raises(ValueError, match="one or more frames"):
        images.write_gif(tmp_path / "a.gif", [])
