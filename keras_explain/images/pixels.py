"""Any image array as uint8 RGB, and as a PNG file."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from keras_explain.signatures import Array

_RANGE_SLACK = 0.02  # resizing and float rounding overshoot a range by a few gray levels


def to_uint8(image: Array, unpreprocess: Callable[..., Any] | None = None) -> np.ndarray:
    """Turn any common image array into uint8 RGB.

    Models are fed with images in many ranges; a picture needs one. The range is read from the
    smallest and largest value of the whole array, so the images of a batch are always treated
    alike:

    | values | treated as |
    |---|---|
    | `uint8`, and other integers within 0..255 | they stay as they are |
    | `bool` | 0 and 255 |
    | `uint16` above 255 | 0..65535 |
    | float in [0, 1] | times 255 |
    | float in [-1, 1] | plus 1, times 127.5 |
    | float in [0, 255] with a maximum of 8 or more | rounded |
    | anything else (standardized images) | stretched from minimum to maximum |

    Float ranges may be exceeded by 2 %, as resizing does; what sticks out is clipped. Pass
    `unpreprocess` where the guess is not good enough.

    Args:
        image: One image, `(H, W)`, `(H, W, 1)`, `(H, W, 3)` or `(H, W, 4)`, or a batch
            `(N, H, W, 1 | 3 | 4)`. RGBA is laid on white. The array is not changed.
        unpreprocess: A callable that undoes the model's preprocessing, given a copy of `image`.

    Returns:
        A new uint8 array, `(H, W, 3)` or `(N, H, W, 3)`.

    Raises:
        TypeError: If the array does not hold real numbers.
        ValueError: If the shape is none of the above, or a value is NaN or infinite.

    Example:
        >>> to_uint8(np.array([[-1.0, 0.0, 1.0]]))[..., 0]
        array([[  0, 128, 255]], dtype=uint8)
    """
    pixels = np.array(image)
    if unpreprocess is not None:
        pixels = np.asarray(unpreprocess(pixels))
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim not in (3, 4) or pixels.shape[-1] not in (1, 3, 4) or not pixels.size:
        raise ValueError(
            "Expected an image of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or a batch of "
            f"them of shape (N, H, W, channels), received shape {np.shape(image)}. Move the "
            "channels to the last axis, and give a batch of gray images a last axis of 1."
        )
    return _to_rgb(_to_bytes(pixels))


def encode_png(image: np.ndarray) -> bytes:
    """Encode an image as PNG, without loss.

    Args:
        image: A uint8 array: gray `(H, W)`, RGB `(H, W, 3)` or RGBA `(H, W, 4)`.

    Returns:
        The bytes of a PNG file.

    Raises:
        TypeError: If the image is not uint8.
        ValueError: If the shape is none of the above.

    Example:
        >>> encode_png(np.zeros((2, 3, 3), "uint8"))[1:4]
        b'PNG'
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise TypeError(f"Expected a uint8 image, received {image.dtype}. Call to_uint8 first.")
    orders = {2: None, (3, 3): cv2.COLOR_RGB2BGR, (3, 4): cv2.COLOR_RGBA2BGRA}
    kind = image.ndim if image.ndim == 2 else (image.ndim, image.shape[-1])
    if kind not in orders or not image.size:
        raise ValueError(
            "Expected an image of shape (H, W), (H, W, 3) or (H, W, 4), "
            f"received shape {image.shape}. Encode the images of a batch one at a time."
        )
    pixels = np.ascontiguousarray(image)
    pixels = pixels if orders[kind] is None else cv2.cvtColor(pixels, orders[kind])
    return cv2.imencode(".png", pixels)[1].tobytes()


def to_finite_float32(values, what):
    try:
        values = np.asarray(values)
        if values.dtype.kind in "cmM":
            raise TypeError(values.dtype)
        values = values.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"Expected the {what} to hold real numbers, received dtype {np.asarray(values).dtype}. "
            "Convert it to a float32 NumPy array."
        ) from error
    broken = np.count_nonzero(~np.isfinite(values))
    if broken:
        raise ValueError(
            f"Expected finite values in the {what}, received {broken} NaN or infinite values of "
            f"{values.size}. Find their source before drawing, or replace them."
        )
    return values


def _to_bytes(pixels):
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind == "b":
        return pixels * np.uint8(255)
    if pixels.dtype.kind in "iu":
        if 0 <= pixels.min() and pixels.max() <= 255:
            return pixels.astype(np.uint8)
        top = 65535 if pixels.dtype == np.uint16 else None
        return _stretch(pixels.astype(np.float64), 0 if top else pixels.min(), top or pixels.max())
    return _float_to_bytes(to_finite_float32(pixels, "image"))


def _float_to_bytes(pixels):
    low, high = float(pixels.min()), float(pixels.max())
    for bottom, top, faintest in ((0, 1, -2), (-1, 1, -2), (0, 255, 8)):
        slack = _RANGE_SLACK * top
        if bottom - slack <= low and faintest <= high <= top + slack:
            return _stretch(pixels, bottom, top)
    return _stretch(pixels, low, high)


def _stretch(pixels, low, high):
    scale = 255 / (float(high) - float(low) or 1.0)
    return np.clip(np.rint((pixels - low) * scale), 0, 255).astype(np.uint8)


def _to_rgb(pixels):
    if pixels.shape[-1] == 4:
        opacity = pixels[..., 3:] / np.float32(255)
        pixels = np.rint(pixels[..., :3] * opacity + 255 * (1 - opacity)).astype(np.uint8)
    if pixels.shape[-1] == 1:
        pixels = pixels.repeat(3, axis=-1)
    return np.ascontiguousarray(pixels)
