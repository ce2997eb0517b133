"""Pictures side by side, each under its label."""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from keras_explain.images.pixels import to_uint8
from keras_explain.signatures import Array

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BACKGROUND = 24
_INK = (235, 235, 235)


def filmstrip(
    frames: Array, captions: Sequence[Any] | None = None, *, columns: int | None = None,
    min_side: int = 112, max_side: int | None = 256, gap: int = 4,
) -> np.ndarray:
    """Lay frames out in a grid, each under its label.

    TensorBoard keeps only some of the steps of an image tag. One picture of all epochs so far,
    written again at each epoch, shows them all; with a fixed number of columns a frame keeps its
    place as others are added.

    Args:
        frames: A sequence of equally large images, as for `to_uint8`.
        captions: One text per frame, such as the epoch's number. Text that is too long for its
            frame ends in "...". By default none.
        columns: The number of frames in a row, by default 8.
        min_side: Frames whose longer side has fewer pixels are enlarged by a whole factor, each
            pixel becoming a square.
        max_side: Frames whose longer side has more pixels are averaged down; `None` for never.
        gap: Pixels between the frames and around them.

    Returns:
        A uint8 array `(height, width, 3)`.

    Raises:
        ValueError: If there are no frames, frames of several sizes, or not one caption per frame.

    Example:
        >>> frames = np.zeros((3, 28, 28, 1))
        >>> filmstrip(frames, captions=range(3), columns=2, gap=0).shape
        (260, 224, 3)
    """
    frames = [_fit(frame, min_side, max_side) for frame in _check_frames(frames)]
    if captions is not None:
        captions = [str(text) for text in captions]
        if len(captions) != len(frames):
            raise ValueError(
                f"Expected one of `captions` for each of the {len(frames)} frames, received"
                f" {len(captions)}. An empty text leaves a frame without one."
            )
        frames = [_label_above(frame, text) for frame, text in zip(frames, captions, strict=True)]
    return _grid(frames, min(columns or 8, len(frames)), gap)


def caption(image: Array, text: str) -> np.ndarray:
    """Write a line of text above an image.

    Args:
        image: One image, as for `to_uint8`. Small ones are enlarged, so that they can be seen and
            the text can be read.
        text: One line; ends in "..." where it is too long for the image.

    Returns:
        A uint8 array `(height, width, 3)`.

    Raises:
        ValueError: As `to_uint8`.

    Example:
        >>> caption(np.zeros((28, 28)), "epoch 3").shape
        (130, 112, 3)
    """
    return filmstrip([image], [text], max_side=None, gap=0)


def _check_frames(frames):
    frames = [np.asarray(frame) for frame in frames]
    frames = [frame[..., None] if frame.ndim == 2 else frame for frame in frames]
    shapes = sorted({frame.shape for frame in frames})
    if len(shapes) != 1 or len(shapes[0]) != 3:
        raise ValueError(
            "Expected at least one frame, all of one shape (H, W, 3), "
            f"received {len(frames)} frames of shapes {shapes}. Resize them first."
        )
    return to_uint8(np.stack(frames))


def _fit(frame, min_side, max_side):
    height, width = frame.shape[:2]
    longer = max(height, width)
    if longer < min_side:
        factor = math.ceil(min_side / longer)
        return frame.repeat(factor, axis=0).repeat(factor, axis=1)
    if max_side is not None and longer > max_side:
        size = [max(1, round(side * max_side / longer)) for side in (width, height)]
        return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return frame


def _label_above(frame, text):
    width = frame.shape[1]
    scale = min(max(0.4, 0.4 * width / 256), 1.2)
    height = round(45 * scale)
    strip = np.full((height, width, 3), _BACKGROUND, np.uint8)
    text = _shorten(" ".join(text.split()), scale, width - 4)
    origin = (2, round(32 * scale))
    cv2.putText(strip, text, origin, _FONT, scale, _INK, 1, cv2.LINE_AA)
    return np.concatenate([strip, frame])


def _shorten(text, scale, width):
    def fits(line):
        return cv2.getTextSize(line, _FONT, scale, 1)[0][0] <= width

    if fits(text):
        return text
    kept = text[:width]  # no glyph is narrower than a pixel
    while kept and not fits(kept.rstrip() + "..."):
        kept = kept[:-1]
    return kept.rstrip() + "..."


def _grid(frames, columns, gap):
    height, width = (side + gap for side in frames[0].shape[:2])
    rows = math.ceil(len(frames) / columns)
    canvas = np.full((rows * height + gap, columns * width + gap, 3), _BACKGROUND, np.uint8)
    for index, frame in enumerate(frames):
        top, left = gap + index // columns * height, gap + index % columns * width
        canvas[top : top + frame.shape[0], left : left + frame.shape[1]] = frame
    return canvas
