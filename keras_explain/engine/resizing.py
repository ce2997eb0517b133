"""Linear interpolation of heatmaps, for any number of axes and sizes known only at run time."""

from keras import ops

_CLOSE = 1e-3  # of a pixel


def resize(heatmap, sizes):
    """Resize each axis after the batch to `sizes`, with half-pixel centers.

    The same numbers as bilinear resizing in TensorFlow, OpenCV and PyTorch (without
    antialiasing), as a product with one small matrix per axis: exact on every backend, in one,
    two and three dimensions, and known to every export format.

    Args:
        heatmap: float32 of shape (N, h), (N, h, w) or (N, d, h, w).
        sizes: the wanted sizes, ints or scalar tensors.
    """
    for axis, size in enumerate(sizes, start=1):
        if heatmap.shape[axis] == size and isinstance(size, int):
            continue
        moved = ops.moveaxis(heatmap, axis, -1)
        weights = _weights(ops.shape(heatmap)[axis], size)
        heatmap = ops.moveaxis(ops.matmul(moved, weights), -1, axis)
    return heatmap


def lay(heatmap, axes, sizes, outside="zero"):
    """Lay a map over its input: each cell where it looks, linear in between.

    Beyond its outermost cells a map holds on as far as these can see. What no cell sees is zero,
    or with `outside="edge"` the outermost cell's number too. A map that covers the input evenly
    comes out as by `resize`.

    Args:
        heatmap: float32 of shape (N, ...), its axes in the order of the feature map's.
        axes: an `Axis` of `engine.placing` for each axis of the input.
        sizes: the input's sizes, ints or scalar tensors.
    """
    order = sorted(range(len(axes)), key=lambda k: axes[k].axis)
    heatmap = ops.transpose(heatmap, (0, *[1 + order.index(k) for k in range(len(axes))]))
    for k, (axis, size) in enumerate(zip(axes, sizes, strict=True), start=1):
        if axis.is_plain and isinstance(size, int) and heatmap.shape[k] == size:
            continue
        weights = _place_weights(axis, ops.shape(heatmap)[k], size, outside)
        heatmap = ops.moveaxis(ops.matmul(ops.moveaxis(heatmap, k, -1), weights), -1, k)
    return heatmap


def _place_weights(axis, old, new, outside):
    pixel = ops.arange(new, dtype="float32")
    at = ops.clip((pixel - axis.offset) / axis.scale, 0.0, ops.cast(old, "float32") - 1.0)
    distance = ops.abs(ops.arange(old, dtype="float32")[:, None] - at[None, :])
    weights = ops.maximum(1.0 - distance, 0.0)
    if outside == "edge":
        return weights
    seen = ops.logical_and(pixel >= axis.low - _CLOSE, pixel <= axis.high + _CLOSE)
    return ops.where(seen[None, :], weights, 0.0)


def _weights(old, new):
    """Interpolation weights, shape (old, new)."""
    old_size, new_size = ops.cast(old, "float32"), ops.cast(new, "float32")
    center = (ops.arange(new, dtype="float32") + 0.5) * (old_size / new_size) - 0.5
    center = ops.clip(center, 0.0, old_size - 1.0)
    distance = ops.abs(ops.arange(old, dtype="float32")[:, None] - center[None, :])
    return ops.maximum(1.0 - distance, 0.0)
