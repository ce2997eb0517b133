"""Colors laid over the picture that they explain."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from keras_explain.images.colors import (
    apply_colors,
    check_maps,
    color_table,
    find_limits,
    is_signed,
)
from keras_explain.images.pixels import to_uint8
from keras_explain.signatures import Array


def overlay(
    image: Array, heatmap: Array, *, alpha: float = 0.5, cmap: Any = None,
    signed: bool | None = None, limits: tuple[float, float] | None = None,
    unpreprocess: Callable[..., Any] | None = None,
) -> np.ndarray:
    """Lay a colored heatmap over its image, at the image's size.

    Under a signed map the image loses its own color as `alpha` grows, and is gray from 0.5 on:
    a red or blue object could else be taken for evidence.

    Args:
        image: One image or a batch, as for `to_uint8`.
        heatmap: `(h, w)` for one image, `(N, h, w)` for a batch; of any size. Small maps, such as
            the 7x7 of a class activation map, are enlarged bilinearly (pixel centers at half
            coordinates), larger ones are averaged down; colors span the values of the map as it
            was given.
        alpha: The heatmap's weight: 0 is the image alone, 1 the colors alone.
        cmap, signed, limits: As for `colorize`.
        unpreprocess: As for `to_uint8`.

    Returns:
        A uint8 array, `(H, W, 3)` or `(N, H, W, 3)`, of the image's height and width.

    Raises:
        ValueError: If `alpha` is outside [0, 1], if the numbers of images and heatmaps differ,
            and as for `to_uint8` and `colorize`.

    Example:
        >>> overlay(np.zeros((4, 6, 3), "uint8"), [[0.0, 1.0]], alpha=1.0)[0, :, 0].tolist()
        [0, 0, 120, 237, 252, 252]
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"Expected alpha between 0 (image) and 1 (heatmap), received {alpha}."
                         " 0.5 shows both.")
    pixels = to_uint8(image, unpreprocess)
    maps = check_maps(heatmap)
    if maps.shape[:-2] != pixels.shape[:-3]:
        raise ValueError(
            "Expected one heatmap (h, w) for an image, or (N, h, w) for a batch of N images, "
            f"received heatmaps of shape {maps.shape} and images of shape {pixels.shape}. Index "
            "the batch, or add the missing batch axis."
        )
    signed = is_signed(maps) if signed is None else signed
    low, high = find_limits(maps, signed, limits)
    maps = _resize_maps(maps, *pixels.shape[-3:-1])
    colors = apply_colors(maps, color_table(cmap, signed=signed), low, high)
    base = _fade_to_gray(_rows(pixels), min(1.0, 2 * alpha)) if signed else _rows(pixels)
    blend = cv2.addWeighted(base, 1 - alpha, _rows(colors), alpha, 0)
    return blend.reshape(pixels.shape)


def _resize_maps(maps, height, width):
    if maps.shape[-2:] == (height, width):
        return maps
    shrinks = maps.shape[-2] >= height and maps.shape[-1] >= width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    flat = maps.reshape(-1, *maps.shape[-2:])
    resized = [cv2.resize(one, (width, height), interpolation=method) for one in flat]
    return np.stack(resized).reshape(*maps.shape[:-2], height, width)


def _fade_to_gray(pixels, amount):
    gray = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(pixels, 1 - amount, gray, amount, 0)


def _rows(pixels):
    return np.ascontiguousarray(pixels).reshape(-1, *pixels.shape[-2:])
