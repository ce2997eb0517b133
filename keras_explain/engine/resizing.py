"""Linear interpolation of heatmaps, for any number of axes and sizes known only at run time."""

from keras import ops


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


def _weights(old, new):
    """Interpolation weights, shape (old, new)."""
    old_size, new_size = ops.cast(old, "float32"), ops.cast(new, "float32")
    center = (ops.arange(new, dtype="float32") + 0.5) * (old_size / new_size) - 0.5
    center = ops.clip(center, 0.0, old_size - 1.0)
    distance = ops.abs(ops.arange(old, dtype="float32")[:, None] - center[None, :])
    return ops.maximum(1.0 - distance, 0.0)
