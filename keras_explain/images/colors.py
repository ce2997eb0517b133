"""Heatmaps as colors, zero always with the same one."""

import functools
from typing import Any

import cv2
import numpy as np

from keras_explain.checks import nearest
from keras_explain.images.pixels import to_finite_float32
from keras_explain.signatures import Array

SEQUENTIAL = "inferno"
DIVERGING = "RdBu_r"
_SIGNED_SHARE = 0.01  # negatives below this share of the largest magnitude are noise


def colorize(
    heatmap: Array, *, cmap: Any = None, signed: bool | None = None,
    limits: tuple[float, float] | None = None,
) -> np.ndarray:
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
    maps = check_maps(heatmap)
    signed = is_signed(maps) if signed is None else signed
    return apply_colors(maps, color_table(cmap, signed=signed), *find_limits(maps, signed, limits))


def is_signed(heatmap: Array) -> bool:
    """Tell whether a heatmap has values that are clearly below zero.

    Args:
        heatmap: `(h, w)` or `(N, h, w)`.

    Returns:
        `True` if a map has a value below -1 % of its own largest magnitude.

    Example:
        >>> is_signed([[-1e-9, 1.0]]), is_signed([[-0.5, 1.0]])
        (False, True)
    """
    maps = check_maps(heatmap)
    lowest, largest = maps.min(axis=(-2, -1)), np.abs(maps).max(axis=(-2, -1))
    return bool(np.any(lowest < -_SIGNED_SHARE * largest))


def color_limits(heatmap: Array, *, signed: bool | None = None) -> tuple[float, float]:
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
    maps = check_maps(heatmap)
    largest = float(np.abs(maps).max())
    return (-largest if (is_signed(maps) if signed is None else signed) else 0.0), largest


def color_table(cmap: Any = None, *, signed: bool = False) -> np.ndarray:
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
    return _find_table(cmap, levels) if isinstance(cmap, str) else _table(cmap, levels)


def check_maps(heatmap):
    maps = to_finite_float32(heatmap, "heatmap")
    if maps.ndim not in (2, 3) or not maps.size:
        raise ValueError(
            f"Expected a heatmap of shape (h, w), or a batch (N, h, w), received shape "
            f"{maps.shape}. Heatmaps have no channel axis: sum or index it away."
        )
    return maps


def find_limits(maps, signed, limits):
    """One `(low, high)` per map, shaped to broadcast; never an empty range."""
    if limits is None:
        high = np.abs(maps).max(axis=(-2, -1), keepdims=True)
        low = np.zeros_like(high)
    else:
        low, high = (np.float32(limit) for limit in limits)
        if not low <= high:
            raise ValueError(f"Expected limits (low, high) with low <= high, received {limits}."
                             " Exchange the two.")
    if signed:
        high = np.maximum(np.abs(low), np.abs(high))
        high = np.where(high > 0, high, np.float32(1))
        return -high, high
    return low, np.where(high > low, high, low + np.float32(1))


def apply_colors(maps, table, low, high):
    last = len(table) - 1
    levels = np.clip(np.rint((maps - low) / (high - low) * last), 0, last).astype(np.uint8)
    # OpenCV asks for 256 colors, and for rows and columns: a batch is one tall image.
    padded = np.concatenate([table, table[last:]])[:256, None]
    colors = cv2.applyColorMap(levels.reshape(-1, levels.shape[-1]), padded)
    return colors.reshape(*maps.shape, 3)


@functools.lru_cache(maxsize=64)
def _find_table(name, levels):
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
