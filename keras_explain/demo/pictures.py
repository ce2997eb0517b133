"""A picture as a classifier expects it: the central square, resized."""

import os

import cv2
import numpy as np


def load_image(path_or_array, size=224):
    """The central square of a picture, resized: what the network expects to see.

    Args:
        path_or_array: an image file, or a picture `(H, W)`, `(H, W, 1)`, `(H, W, 3)` (RGB) or
            `(H, W, 4)` (the alpha channel is dropped) with values in 0..255.
        size: height and width of the result, in pixels.

    Returns:
        float32 `(size, size, 3)`, RGB, 0..255. A batch of one is `load_image(path)[None]`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an image, or values outside 0..255, or a float image in 0..1.
    """
    is_path = isinstance(path_or_array, (str, os.PathLike))
    image = _decode(path_or_array) if is_path else _as_rgb(np.asarray(path_or_array))
    square = _central_square(image).astype("float32")
    method = cv2.INTER_AREA if len(square) > size else cv2.INTER_LINEAR
    return cv2.resize(square, (size, size), interpolation=method)


def _decode(path):
    # imdecode on bytes, because imread cannot open non-ASCII paths on Windows.
    data = np.fromfile(path, "uint8")
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if pixels is None:
        raise ValueError(
            f"Expected an image file that OpenCV can decode, received {str(path)!r}. "
            "Convert it to PNG or JPEG."
        )
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _as_rgb(array):
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise ValueError(
            "Expected one image of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), received "
            f"{array.shape}. Pass the images of a batch one by one."
        )
    _check_range(array)
    return np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array[..., :3]


def _check_range(array):
    low, high = array.min(), array.max()
    if array.dtype.kind == "f" and low >= 0 and 0 < high <= 1:
        raise ValueError(
            f"Expected pixel values in 0..255, received floats up to {high:.3g}. Multiply by 255."
        )
    if array.dtype.kind not in "uif" or not (low >= 0 and high <= 255):
        raise ValueError(
            f"Expected pixel values in 0..255, received {array.dtype} from {low} to {high}. "
            "Rescale the image."
        )


def _central_square(image):
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]
