"""The pointing games: is a heatmap where a person says the object is?"""

import keras
import numpy as np
from scipy.ndimage import distance_transform_edt

from keras_explain.checks import check_integer
from keras_explain.metrics.evaluator import maps_of
from keras_explain.signatures import Array, Inputs


def pointing_game(
    heatmaps: Array | keras.Model, regions: Array, x: Inputs | None = None, *,
    tolerance: int = 0,
) -> np.ndarray:
    """Whether the largest value of a heatmap lies in the region: 1 or 0.

    Where several pixels share the largest value, the share of them that lie inside; so a blank
    map scores as a random guess does.

    Reference: Zhang et al. 2016, "Top-down Neural Attention by Excitation Backprop",
    https://arxiv.org/abs/1608.00507.
    Direction: higher is better.
    Cost: no forward pass.
    Weakness: it compares with a person's box, not with what the model uses: a model that
    decides by the background is explained wrongly by a map that wins. Large central objects are
    hit by any central map: read it beside the center Gaussian of `compare`.

    Args:
        heatmaps: array (N, H, W), or an explained model.
        regions: bool masks (N, H, W), or for each image a box (top, left, bottom, right) or a
            list of boxes; bottom and right are exclusive.
        x: the inputs, for an explained model.
        tolerance: how many pixels outside still count; the paper's is 15.

    Returns:
        float64 of shape (N,).

    Example:
        >>> heatmap = np.zeros((1, 8, 8))
        >>> heatmap[0, 2, 3] = 1
        >>> pointing_game(heatmap, [(0, 0, 4, 4)]), pointing_game(heatmap, [(4, 4, 8, 8)])
        (array([1.]), array([0.]))
    """
    maps = maps_of(heatmaps, x)
    masks = region_masks(regions, maps.shape)
    if check_integer("tolerance", tolerance, 0):
        masks = np.stack([distance_transform_edt(~m) <= tolerance for m in masks])
    maps, masks = maps.reshape(len(maps), -1), masks.reshape(len(maps), -1)
    best = maps == maps.max(axis=1, keepdims=True)
    return (best & masks).sum(axis=1) / best.sum(axis=1)


def energy_pointing_game(
    heatmaps: Array | keras.Model, regions: Array, x: Inputs | None = None,
) -> np.ndarray:
    """The share of a heatmap's positive values that lies in the region.

    Reference: Wang et al. 2020, "Score-CAM: Score-Weighted Visual Explanations for Convolutional
    Neural Networks", https://arxiv.org/abs/1910.01279.
    Direction: higher is better; a constant map gets the region's share of the image.
    Cost: no forward pass.
    Weakness: that of `pointing_game`; and it depends on the map's zero.

    Args:
        heatmaps, regions, x: see `pointing_game`.

    Returns:
        float64 of shape (N,); NaN for a map without positive values.
    """
    maps = np.maximum(maps_of(heatmaps, x).astype("float64"), 0)
    inside = np.where(region_masks(regions, maps.shape), maps, 0)
    axes = tuple(range(1, maps.ndim))
    total = maps.sum(axis=axes)
    return inside.sum(axis=axes) / np.where(total > 0, total, np.nan)


def region_masks(regions, shape):
    """Regions as bool masks of `shape`.

    Raises:
        ValueError: another number of regions than heatmaps, a mask of another shape, an empty
            region.
    """
    if len(regions) != shape[0]:
        raise ValueError(f"Expected {shape[0]} regions, one per image, received {len(regions)}."
                         " Several boxes of one image go into one list.")
    masks = np.asarray(regions) if not isinstance(regions, (list, tuple)) else None
    if masks is None or masks.shape != shape:
        masks = np.stack([_mask(region, shape[1:]) for region in regions])
    masks = masks.astype(bool)
    if not masks.reshape(len(masks), -1).any(axis=1).all():
        raise ValueError(
            "Expected regions that hold a pixel, received an empty one. Boxes are (top, left,"
            " bottom, right) in pixels of the heatmap, bottom and right exclusive."
        )
    return masks


def _mask(region, shape):
    region = np.asarray(region)
    if region.shape == shape:
        return region
    if region.ndim not in (1, 2) or region.shape[-1] != 2 * len(shape):
        raise ValueError(
            f"Expected a mask of shape {shape} or boxes of {2 * len(shape)} numbers, received an"
            f" array of shape {region.shape}. A box is (top, left, bottom, right) in pixels."
        )
    mask = np.zeros(shape, bool)
    for box in np.atleast_2d(region).astype(int):
        low, high = np.maximum(box[: len(shape)], 0), np.maximum(box[len(shape) :], 0)
        mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask
