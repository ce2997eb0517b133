"""Explanations as pictures: color, overlays, labels and grids of uint8 RGB arrays.

Heatmaps are numbers everywhere else in the library. Here, and only here, they are normalized and
turned into color, so every picture that the callbacks, the plots and the command line draw of a
heatmap looks the same. Everything runs on NumPy and OpenCV, without Keras.
"""

import functools
import math

import cv2
import numpy as np

from keras_explain.checks import nearest

SEQUENTIAL = "inferno"
DIVERGING = "RdBu_r"

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BACKGROUND = 24
_INK = (235, 235, 235)
_RANGE_SLACK = 0.02  # resizing and float rounding overshoot a range by a few gray levels
_SIGNED_SHARE = 0.01  # negatives below this share of the largest magnitude are noise


def to_uint8(image, unpreprocess=None):
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


def colorize(heatmap, cmap=None, signed=None, limits=None):
    """Color a heatmap: dark to bright, or blue to red around zero where it is signed.

    Both default color maps are perceptually uniform or evenly diverging, and safe for
    color-blind readers. Zero always has the same color (the darkest of a sequential map, the
    middle of a diverging one), so a map of zeros is one plain color and not amplified noise.

    Args:
        heatmap: `(h, w)`, or a batch `(N, h, w)`, in any unit.
        cmap: A matplotlib color map or its name. By default `"inferno"` for maps without
            negative values and `"RdBu_r"` for signed ones.
        signed: Whether zero lies in the middle of the colors. By default `True` if a map of the
            batch has a value below -1 % of its largest magnitude.
        limits: `(low, high)` of the colors in the heatmap's unit, to compare several maps; for
            signed maps both sides reach as far as the larger of the two. By default each map has
            its own: from 0, or minus the largest magnitude, to the largest magnitude.

    Returns:
        A uint8 array, `(h, w, 3)` or `(N, h, w, 3)`.

    Raises:
        ValueError: If the shape, the limits or the color map's name are wrong, or a value is NaN
            or infinite.

    Example:
        >>> colorize([[-2.0, 0.0, 2.0]]).tolist()
        [[[5, 48, 97], [247, 247, 247], [103, 0, 31]]]
    """
    maps = _check_maps(heatmap)
    signed = is_signed(maps) if signed is None else signed
    return _apply_colors(maps, color_table(cmap, signed), *_color_limits(maps, signed, limits))


def overlay(image, heatmap, alpha=0.5, cmap=None, signed=None, limits=None, unpreprocess=None):
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
        raise ValueError(f"Expected alpha between 0 (image) and 1 (heatmap), received {alpha}.")
    pixels = to_uint8(image, unpreprocess)
    maps = _check_maps(heatmap)
    if maps.shape[:-2] != pixels.shape[:-3]:
        raise ValueError(
            "Expected one heatmap (h, w) for an image, or (N, h, w) for a batch of N images, "
            f"received heatmaps of shape {maps.shape} and images of shape {pixels.shape}. Index "
            "the batch, or add the missing batch axis."
        )
    signed = is_signed(maps) if signed is None else signed
    low, high = _color_limits(maps, signed, limits)
    maps = _resize_maps(maps, *pixels.shape[-3:-1])
    colors = _apply_colors(maps, color_table(cmap, signed), low, high)
    base = _fade_to_gray(_rows(pixels), min(1.0, 2 * alpha)) if signed else _rows(pixels)
    blend = cv2.addWeighted(base, 1 - alpha, _rows(colors), alpha, 0)
    return blend.reshape(pixels.shape)


def filmstrip(frames, labels=None, columns=None, min_side=112, max_side=256, gap=4):
    """Lay frames out in a grid, each under its label.

    TensorBoard keeps only some of the steps of an image tag. One picture of all epochs so far,
    written again at each epoch, shows them all; with a fixed number of columns a frame keeps its
    place as others are added.

    Args:
        frames: A sequence of equally large images, as for `to_uint8`.
        labels: One text per frame, such as the epoch's number. Text that is too long for its frame
            ends in "...". By default no labels.
        columns: The number of frames in a row, by default 8.
        min_side: Frames whose longer side has fewer pixels are enlarged by a whole factor, each
            pixel becoming a square.
        max_side: Frames whose longer side has more pixels are averaged down; `None` for never.
        gap: Pixels between the frames and around them.

    Returns:
        A uint8 array `(height, width, 3)`.

    Raises:
        ValueError: If there are no frames, frames of several sizes, or not one label per frame.

    Example:
        >>> frames = np.zeros((3, 28, 28, 1))
        >>> filmstrip(frames, labels=range(3), columns=2, gap=0).shape
        (260, 224, 3)
    """
    frames = [_fit(frame, min_side, max_side) for frame in _check_frames(frames)]
    if labels is not None:
        labels = [str(label) for label in labels]
        if len(labels) != len(frames):
            raise ValueError(
                f"Expected one label for each of the {len(frames)} frames, "
                f"received {len(labels)} labels."
            )
        frames = [_label_above(frame, text) for frame, text in zip(frames, labels, strict=True)]
    return _grid(frames, min(columns or 8, len(frames)), gap)


def caption(image, text):
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


def encode_png(image):
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


def is_signed(heatmap):
    """Tell whether a heatmap has values that are clearly below zero.

    Args:
        heatmap: `(h, w)` or `(N, h, w)`.

    Returns:
        `True` if a map has a value below -1 % of its own largest magnitude.

    Example:
        >>> is_signed([[-1e-9, 1.0]]), is_signed([[-0.5, 1.0]])
        (False, True)
    """
    maps = _check_maps(heatmap)
    lowest, largest = maps.min(axis=(-2, -1)), np.abs(maps).max(axis=(-2, -1))
    return bool(np.any(lowest < -_SIGNED_SHARE * largest))


def color_limits(heatmap, signed=None):
    """Give the values at both ends of a heatmap's colors.

    Args:
        heatmap: `(h, w)`.
        signed: As for `colorize`.

    Returns:
        `(low, high)` in the heatmap's unit. For a map of zeros both are 0.

    Example:
        >>> color_limits([[0.5, 3.0]]), color_limits([[-4.0, 3.0]])
        ((0.0, 3.0), (-4.0, 4.0))
    """
    maps = _check_maps(heatmap)
    largest = float(np.abs(maps).max())
    return (-largest if (is_signed(maps) if signed is None else signed) else 0.0), largest


def color_table(cmap=None, signed=False):
    """Give the colors that `colorize` looks its levels up in.

    Args:
        cmap: A matplotlib color map or its name, or `None` for the default.
        signed: A signed table has an odd number of colors, so that zero has one of its own.

    Returns:
        A uint8 array `(256, 3)`, or `(255, 3)` if `signed`.

    Raises:
        ValueError: If matplotlib does not know the name; near names are given.

    Example:
        >>> color_table("viridis")[[0, 255]].tolist()
        [[68, 1, 84], [253, 231, 37]]
    """
    cmap = cmap or (DIVERGING if signed else SEQUENTIAL)
    levels = 255 if signed else 256
    return _named_table(cmap, levels) if isinstance(cmap, str) else _table(cmap, levels)


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
    return _float_to_bytes(_finite_float32(pixels, "image"))


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


def _finite_float32(values, what):
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


def _check_maps(heatmap):
    maps = _finite_float32(heatmap, "heatmap")
    if maps.ndim not in (2, 3) or not maps.size:
        raise ValueError(
            f"Expected a heatmap of shape (h, w), or a batch (N, h, w), received shape "
            f"{maps.shape}. Heatmaps have no channel axis: sum or index it away."
        )
    return maps


def _color_limits(maps, signed, limits):
    """One `(low, high)` per map, shaped to broadcast; never an empty range."""
    if limits is None:
        high = np.abs(maps).max(axis=(-2, -1), keepdims=True)
        low = np.zeros_like(high)
    else:
        low, high = (np.float32(limit) for limit in limits)
        if not low <= high:
            raise ValueError(f"Expected limits (low, high) with low <= high, received {limits}.")
    if signed:
        high = np.maximum(np.abs(low), np.abs(high))
        high = np.where(high > 0, high, np.float32(1))
        return -high, high
    return low, np.where(high > low, high, low + np.float32(1))


def _apply_colors(maps, table, low, high):
    last = len(table) - 1
    levels = np.clip(np.rint((maps - low) / (high - low) * last), 0, last).astype(np.uint8)
    # OpenCV asks for 256 colors, and for rows and columns: a batch is one tall image.
    padded = np.concatenate([table, table[last:]])[:256, None]
    colors = cv2.applyColorMap(levels.reshape(-1, levels.shape[-1]), padded)
    return colors.reshape(*maps.shape, 3)


@functools.lru_cache(maxsize=64)
def _named_table(name, levels):
    import matplotlib

    if name not in matplotlib.colormaps:
        near = nearest(name, matplotlib.colormaps) or ["viridis"]
        raise ValueError(
            f"Expected the name of a matplotlib color map, received {name!r}. "
            f"Near names: {', '.join(near)}."
        )
    return _table(matplotlib.colormaps[name], levels)


def _table(colormap, levels):
    colors = colormap.resampled(levels)(np.arange(levels))[:, :3]
    table = np.rint(colors * 255).astype(np.uint8)  # matplotlib's own bytes are truncated
    table.setflags(write=False)
    return table


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
