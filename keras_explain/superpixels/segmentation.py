"""Image to superpixels: labels 0..S-1, the same whatever range the image's values are in."""

import contextlib
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from keras_explain.checks import check_choice, is_integer
from keras_explain.superpixels._canvas import (
    Canvas,
    check_image,
    choose_grid,
    relabel,
    to_rgb,
)

Method = Literal["slic", "seeds", "lsc", "quickshift", "felzenszwalb", "grid"]


def segment(
    image: Any, method: Method | int | np.ndarray | Callable[..., Any] = "slic"
) -> np.ndarray:
    """Divide an image into superpixels.

    Explanations in terms of superpixels are only comparable if the same picture always gives the
    same segments, so each channel is first stretched to 0..255: the picture as uint8, in [0, 1],
    in [-1, 1] or standardized gives the same labels.

    Args:
        image: `(H, W)`, `(H, W, 1)`, `(H, W, 3)` or `(H, W, 4)` (alpha is ignored), any real dtype.
            Methods of your own may take any number of channels.
        method: `"slic"` (about 50 superpixels), `"seeds"`, `"lsc"` (OpenCV), `"quickshift"`,
            `"felzenszwalb"` (scikit-image), `"grid"`; an int, for that many SLIC superpixels;
            labels `(H, W)` of integers; or a callable from the image as it is given to labels.
            `functools.partial(slic, num_segments=100)` sets a method's parameters.

    Returns:
        int32 `(H, W)`: labels from 0 to the number of superpixels - 1, all in use.

    Raises:
        TypeError: `image` is not an array of real numbers, or `method` none of the above.
        ValueError: wrong rank, NaN or infinite pixels, an unknown method, labels that do not fit
            the image.

    Example:
        >>> import numpy as np
        >>> segment(np.eye(64), "grid").max() + 1
        np.int32(49)
    """
    image = check_image(image)
    if is_integer(method):
        return slic(image, num_segments=int(method))
    if isinstance(method, str):
        check_choice("method", method, METHODS)
        return METHODS[method](image)
    labels = np.asarray(method(image) if callable(method) else method)
    return _check_labels(labels, image)


def slic(image: Any, num_segments: int = 50, compactness: float = 10.0) -> np.ndarray:
    """Simple linear iterative clustering: compact superpixels of similar size.

    The default: fast, deterministic, and the number of superpixels is close to what is asked for.
    Without OpenCV's contrib modules scikit-image's version is used, with a warning.

    Reference: Achanta et al. 2012, "SLIC superpixels compared to state-of-the-art superpixel
    methods", PAMI.

    Args:
        image: as for `segment`.
        num_segments: the number of superpixels to aim at.
        compactness: larger values make squarer superpixels that follow edges less.

    Returns:
        int32 `(H, W)`.

    Raises:
        TypeError, ValueError: as `segment`, or `num_segments` below 1.
    """
    canvas = Canvas(image, num_segments)
    ximgproc = _find_ximgproc()
    if ximgproc is None:
        from skimage.segmentation import slic as skimage_slic

        labels = skimage_slic(canvas.rgb, num_segments, compactness, start_label=0)
        return canvas.restore(labels)
    method = ximgproc.createSuperpixelSLIC(canvas.lab, ximgproc.SLIC, canvas.side, compactness)
    method.iterate(10)
    method.enforceLabelConnectivity(25)
    return canvas.restore(method.getLabels())


def lsc(image: Any, num_segments: int = 50, compactness: float = 0.075) -> np.ndarray:
    """Linear spectral clustering: superpixels that follow faint, long edges.

    Reference: Li and Chen 2015, "Superpixel segmentation using linear spectral clustering", CVPR.

    Args:
        image: as for `segment`.
        num_segments: the number of superpixels to aim at.
        compactness: larger values make more regular superpixels.

    Returns:
        int32 `(H, W)`.

    Raises:
        ImportError: OpenCV has no contrib modules.
        TypeError, ValueError: as `segment`, or `num_segments` below 1.
    """
    canvas = Canvas(image, num_segments)
    ximgproc = _require_ximgproc("lsc")
    with _use_single_thread():  # with several threads two runs differ in some pixels
        method = ximgproc.createSuperpixelLSC(canvas.lab, canvas.side, compactness)
        method.iterate(10)
        method.enforceLabelConnectivity(25)
    return canvas.restore(method.getLabels())


def seeds(image: Any, num_segments: int = 50) -> np.ndarray:
    """Superpixels extracted via energy-driven sampling: the fastest.

    Starts from a grid and exchanges blocks along the borders.

    Reference: Van den Bergh et al. 2012, "SEEDS: superpixels extracted via energy-driven
    sampling", ECCV.

    Args:
        image: as for `segment`.
        num_segments: the number of superpixels to aim at.

    Returns:
        int32 `(H, W)`.

    Raises:
        ImportError: OpenCV has no contrib modules.
        TypeError, ValueError: as `segment`, or `num_segments` below 1.
    """
    canvas = Canvas(image, num_segments, multiple=8)  # two pixels at least, halved thrice
    height, width = canvas.lab.shape[:2]
    ximgproc = _require_ximgproc("seeds")
    number = (height // canvas.side) * (width // canvas.side)
    method = ximgproc.createSuperpixelSEEDS(width, height, 3, number, 4, 2, 5)
    method.iterate(canvas.lab, 10)
    return canvas.restore(method.getLabels())


def quickshift(
    image: Any, kernel_size: float = 4, max_dist: float = 200, ratio: float = 0.2
) -> np.ndarray:
    """Mode seeking in color and position, with the parameters that `lime` uses for images.

    About 15 times slower than SLIC; the number of superpixels follows from the image.

    Reference: Vedaldi and Soatto 2008, "Quick shift and kernel methods for mode seeking", ECCV.

    Args:
        image: as for `segment`.
        kernel_size, max_dist, ratio: as in `skimage.segmentation.quickshift`.

    Returns:
        int32 `(H, W)`.

    Raises:
        TypeError, ValueError: as `segment`.
    """
    return _cut("quickshift", image, kernel_size=kernel_size, max_dist=max_dist, ratio=ratio,
                rng=0)


def felzenszwalb(
    image: Any, scale: float = 200.0, sigma: float = 0.5, min_size: int = 50
) -> np.ndarray:
    """Graph-based segmentation: few, large segments where the image is even.

    Reference: Felzenszwalb and Huttenlocher 2004, "Efficient graph-based image segmentation",
    IJCV.

    Args:
        image: as for `segment`.
        scale, sigma, min_size: as in `skimage.segmentation.felzenszwalb`.

    Returns:
        int32 `(H, W)`.

    Raises:
        TypeError, ValueError: as `segment`.
    """
    return _cut("felzenszwalb", image, scale=scale, sigma=sigma, min_size=min_size)


def _cut(method, image, **options):
    """The labels that scikit-image gives to an image as it is."""
    import skimage.segmentation

    return relabel(getattr(skimage.segmentation, method)(to_rgb(check_image(image)), **options))


def grid(image: Any, num_segments: int = 50) -> np.ndarray:
    """Rectangles of nearly equal size, in rows and columns.

    What is compared with when one asks whether segments that follow the picture matter; and the
    choice for spectrograms and other images without objects.

    Args:
        image: as for `segment`, with any number of channels.
        num_segments: the number of rectangles to aim at.

    Returns:
        int32 `(H, W)`.

    Raises:
        TypeError, ValueError: as `segment`, or `num_segments` below 1.
    """
    height, width = check_image(image).shape[:2]
    rows, columns = choose_grid((height, width), num_segments)
    labels = np.arange(height)[:, None] * rows // height * columns
    return (labels + np.arange(width) * columns // width).astype(np.int32)


METHODS = {
    "slic": slic,
    "seeds": seeds,
    "lsc": lsc,
    "quickshift": quickshift,
    "felzenszwalb": felzenszwalb,
    "grid": grid,
}


def _check_labels(labels, image):
    if labels.dtype.kind not in "iub":
        raise TypeError(
            "Expected integer labels of superpixels, received"
            f" {labels.dtype} of shape {labels.shape}. Pass the name of a method, a number of"
            " superpixels, labels (H, W) or a callable from an image to labels."
        )
    if labels.shape != image.shape[:2]:
        raise ValueError(
            f"Expected labels of the image's height and width {image.shape[:2]}, received shape "
            f"{labels.shape}. Resize them with nearest neighbors."
        )
    return relabel(labels)


def _find_ximgproc():
    """OpenCV's contrib module, or None. A leftover empty `cv2.ximgproc` counts as none."""
    import cv2

    if hasattr(getattr(cv2, "ximgproc", None), "createSuperpixelSLIC"):
        return cv2.ximgproc
    warnings.warn(
        "OpenCV has no contrib modules (cv2.ximgproc): superpixels come from scikit-image, which "
        "is slower. Run: pip uninstall opencv-python opencv-python-headless; "
        "pip install opencv-contrib-python-headless",
        stacklevel=4,
    )
    return None


def _require_ximgproc(method):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = _find_ximgproc()
    if module is None:
        raise ImportError(
            f"Expected OpenCV with contrib modules for segments={method!r}, found none. Run: "
            "pip install opencv-contrib-python-headless, or use segments='slic'."
        )
    return module


@contextlib.contextmanager
def _use_single_thread():
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
