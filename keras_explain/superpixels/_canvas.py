"""Images made ready for superpixel methods: any range of values, any size."""

from typing import Any

import numpy as np

from keras_explain.checks import check_positive


class Canvas:
    """An image resized to a whole number of square cells, one for each superpixel.

    OpenCV's methods start from such a grid. At other sizes SEEDS makes far fewer superpixels than
    asked for, and all of them crash the process where a cell is larger than the image.
    """

    def __init__(self, image: Any, num_segments: int, multiple: int = 1) -> None:
        import cv2

        rgb = to_rgb(check_image(image))
        self._shape = rgb.shape[:2]
        rows, columns = choose_grid(self._shape, num_segments)
        area = self._shape[0] * self._shape[1] / (rows * columns)
        self.side = multiple * max(16 // multiple, round(np.sqrt(area) / multiple))
        size = (columns * self.side, rows * self.side)
        self.rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)

    @property
    def lab(self) -> np.ndarray:
        """The canvas in the color space in which OpenCV's methods measure distances."""
        import cv2

        return cv2.cvtColor(self.rgb, cv2.COLOR_RGB2LAB)

    def restore(self, labels: np.ndarray) -> np.ndarray:
        """Labels of the canvas, brought back to the image's size."""
        pairs = zip(self._shape, self.rgb.shape[:2], strict=True)
        y, x = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in pairs)
        return relabel(labels[np.ix_(y, x)])


def check_image(image: Any) -> np.ndarray:
    """`image` as an array `(H, W)` or `(H, W, C)` of finite real numbers, or an error."""
    image = np.asarray(image)
    if image.dtype.kind not in "buif" and image.dtype.name != "bfloat16":
        raise TypeError(
            f"Expected an image of real numbers, received dtype {image.dtype}. Convert it to a "
            "NumPy array of uint8 or float32."
        )
    if image.ndim not in (2, 3) or not image.size:
        raise ValueError(
            f"Expected one image of shape (H, W) or (H, W, channels), received {image.shape}. "
            "Take one image of a batch."
        )
    if image.dtype.kind not in "bui" and not np.isfinite(image.astype(np.float64)).all():
        raise ValueError(
            "Expected finite pixels, received NaN or infinite ones. Replace them, for instance "
            "with numpy.nan_to_num."
        )
    return image


def to_rgb(image: np.ndarray) -> np.ndarray:
    """An image as uint8 `(H, W, 3)`, each channel stretched from its minimum to its maximum."""
    image = image[..., None] if image.ndim == 2 else image
    if image.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"Expected 1, 3 or 4 channels, received {image.shape[-1]} in shape {image.shape}. "
            "For other images pass segments='grid', labels or a callable."
        )
    pixels = image[..., :3].astype(np.float64)
    low, high = pixels.min(axis=(0, 1)), pixels.max(axis=(0, 1))
    scaled = (pixels - low) * (255 / np.where(high > low, high - low, 1))
    # Rounds half up, but a little early: between two gray levels no 8-bit image has a value within
    # 0.001 of a half, so the float error of a rescaled copy cannot tip a pixel over.
    rgb = np.floor(scaled + 0.501).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(rgb, (*rgb.shape[:2], 3)))


def choose_grid(shape: tuple[int, int], num_segments: int) -> tuple[int, int]:
    """The grid of nearly square cells whose number is close to what is asked for."""
    check_positive("num_segments", num_segments, "20 to 100 suit a photograph.")
    height, width = shape
    rows = height / np.sqrt(height * width / num_segments)
    grids = []
    for number in (np.floor(rows), np.ceil(rows)):
        number = int(min(height, max(1, number)))
        grids.append((number, int(min(width, max(1, round(num_segments / number))))))

    def misfit(grid):
        aspect = (height / grid[0]) / (width / grid[1])
        return abs(np.log(grid[0] * grid[1] / num_segments)) + abs(np.log(aspect)) / 2

    return min(grids, key=misfit)


def relabel(labels: np.ndarray) -> np.ndarray:
    """Labels as int32 from 0 to their number - 1, in their order."""
    _, flat = np.unique(labels, return_inverse=True)
    return flat.reshape(labels.shape).astype(np.int32)
