"""Frames as an animation that every browser plays."""

import os
from collections.abc import Sequence
from typing import Any

from keras_explain.images.filmstrips import filmstrip
from keras_explain.signatures import Array


def write_gif(
    path: str | os.PathLike[str], frames: Array, captions: Sequence[Any] | None = None, *,
    rate: float = 5.0,
) -> None:
    """Write frames as a GIF that repeats: a video under its heatmaps, the slices of a volume.

    Small frames are enlarged, as in a `filmstrip`. Give `overlay` one range for all frames, so
    that their colors mean the same: `limits=color_limits(heatmap.reshape(len(heatmap), -1))`.

    Args:
        path: Of the file, which is written anew.
        frames: A sequence of equally large images, as for `to_uint8`.
        captions: One text per frame, above it. By default none.
        rate: Frames in a second, up to 50.

    Raises:
        ValueError: A rate that is not above 0 and up to 50, and as `filmstrip`.

    Example:
        >>> import numpy as np, keras_explain as kx
        >>> video, heatmap = np.random.rand(6, 32, 32, 3), np.random.rand(6, 32, 32)
        >>> frames = kx.images.overlay(video, heatmap, limits=(0.0, heatmap.max()))
        >>> kx.images.write_gif("video.gif", frames, captions=range(6))  # doctest: +SKIP
    """
    from PIL import Image

    if isinstance(rate, bool) or not 0 < rate <= 50:
        raise ValueError(f"Expected `rate` to be frames in a second, above 0 and up to 50, received"
                         f" {rate!r}. 5 can be followed.")
    texts = [None] * len(frames) if captions is None else [[text] for text in captions]
    if len(texts) != len(frames) or not len(frames):
        raise ValueError(
            f"Expected one or more frames, and one of `captions` for each, received {len(frames)}"
            f" and {len(texts)}. An empty text leaves a frame without one."
        )
    drawn = [Image.fromarray(filmstrip([frame], text, gap=0))
             for frame, text in zip(frames, texts, strict=True)]
    if len({image.size for image in drawn}) > 1:
        raise ValueError("Expected frames of one size, received several. Resize them first.")
    drawn[0].save(os.fspath(path), format="GIF", save_all=True, append_images=drawn[1:],
                  duration=round(1000 / rate), loop=0)
