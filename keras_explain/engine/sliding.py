"""Patches that slide over an input: where they lie, and what they say about each pixel.

Sizes may be ints or scalar tensors; a grid holds (patch, stride) for each axis.
"""

from keras import ops

from keras_explain.engine.chunks import even, in_chunks


def count(size, patch, stride):
    """Number of positions along an axis: the last one ends at the border."""
    return -(-(size - patch) // stride) + 1


def _starts(size, patch, stride):
    return ops.minimum(ops.arange(count(size, patch, stride), dtype="int32") * stride, size - patch)


def masks(pairs, sizes, counts, grid):
    """Where the patch lies for each (image, position) pair.

    Args:
        pairs: int32 of shape (B,), image index times positions plus position.

    Returns:
        The image index of each pair, shape (B,), and bool masks of shape (B, *sizes).
    """
    inside = None
    for axis in range(len(sizes) - 1, -1, -1):
        position, pairs = pairs % counts[axis], pairs // counts[axis]
        patch, stride = grid[axis]
        start = ops.minimum(position * stride, sizes[axis] - patch)[:, None]
        pixel = ops.arange(sizes[axis], dtype="int32")[None, :]
        line = ops.logical_and(pixel >= start, pixel < start + patch)
        if inside is None:
            inside = line
        else:
            line = ops.reshape(line, (-1, sizes[axis], *[1] * (len(inside.shape) - 1)))
            inside = ops.logical_and(line, inside[:, None])
    if inside is None:  # one number for each example, all of which is hidden
        inside = ops.ones(ops.shape(pairs), "bool")
    return pairs, inside


def for_all_pairs(score, images, counts, batch_size):
    """`score(pairs)` for every image at every position, a bounded number at a time.

    Returns:
        float32 of shape (images * positions,).
    """
    positions = 1
    for n in counts:
        positions = positions * n
    if isinstance(positions, int):
        batch_size = even(positions, batch_size)
    return in_chunks(score, images * positions, batch_size)


def unless_rounding(changes, limit):
    """`changes` of shape (N, ...), zero for examples in which none exceeds `limit` (N,).

    NaN stays: what a model has no answer for is no change of zero.
    """
    axes = tuple(range(1, len(changes.shape)))
    largest = ops.max(ops.abs(changes), axis=axes, keepdims=True)
    return ops.where(largest <= ops.reshape(limit, (-1, *[1] * len(axes))), 0.0, changes)


def spread(drops, sizes, grid):
    """From positions to pixels: each pixel's mean over the patches that cover it.

    Args:
        drops: shape (N, positions per axis...).

    Returns:
        float32 of shape (N, *sizes). Pixels in a gap take the nearest patch.
    """
    for axis, (size, (patch, stride)) in enumerate(zip(sizes, grid, strict=True), start=1):
        pixel = ops.arange(size, dtype="int32")[None, :]
        start = _starts(size, patch, stride)[:, None]
        distance = ops.maximum(ops.maximum(start - pixel, pixel - (start + patch - 1)), 0)
        nearest = ops.equal(distance, ops.min(distance, axis=0, keepdims=True))
        weights = ops.cast(nearest, "float32")
        weights = weights / ops.sum(weights, axis=0, keepdims=True)
        drops = ops.moveaxis(ops.matmul(ops.moveaxis(drops, axis, -1), weights), -1, axis)
    return drops


def blur(pixels, axes, sigmas=None, relative_sigma=0.05):
    """Gaussian blur along `axes`, strong enough to hide objects.

    Args:
        pixels: float32 of shape (N, ...).
        sigmas: standard deviation in pixels, one for each axis.
        relative_sigma: the same as a share of each axis, where `sigmas` is None.
    """
    for i, axis in enumerate(axes):
        size = ops.shape(pixels)[axis]
        sigma = sigmas[i] if sigmas else ops.maximum(
            ops.cast(size, "float32") * relative_sigma, 1.0)
        line = ops.arange(size, dtype="float32")
        weights = ops.exp(-0.5 * ops.square((line[:, None] - line[None, :]) / sigma))
        weights = weights / ops.sum(weights, axis=0, keepdims=True)
        pixels = ops.moveaxis(ops.matmul(ops.moveaxis(pixels, axis, -1), weights), -1, axis)
    return pixels


def default_patch(value, size):
    """An eighth of an axis of a map, one token or column else."""
    if len(value.spec.shape) < 3:
        return 1
    if size is None:
        raise ValueError(
            "Expected `patch_size`, because the model takes inputs of any size"
            f" {value.spec.shape}, received none. Give the patch in pixels."
        )
    return max(1, size // 8)
