"""What stands in the patch at each position of one image, fill by fill."""

import numpy as np
from keras import ops

from keras_explain.engine import hiding, sliding
from keras_explain.engine.windows import span


class Patch:
    """The fills of one image, on the window that the patch is.

    Args:
        plan: a Plan.
        fills: `hiding.Fills` of the batch.
        image: int32, which example.
    """

    def __init__(self, plan, fills, image):
        self.frame = span.regions(plan.windows[plan.value])
        self.extents = tuple(s.extent for s in plan.windows[plan.value])
        self.fills = fills
        self.stack = ops.concatenate([_one(fill, image) for fill in fills.each])
        if fills.inpainted is not None:
            self.pixels = ops.cast(_one(fills.image, image), "float32")
            self.blurred = sliding.blur(self.pixels, fills.axes, fills.sigmas)

    def at(self, positions):
        """What stands there, (B, rows..., channels)."""
        found = positions.cut_of(self.stack, self.frame, positions.fill)
        if self.fills.inpainted is None:
            return found
        painted = hiding.to_dtype(self._inpaint(positions), found.dtype)
        chosen = ops.equal(positions.fill, self.fills.inpainted)
        return ops.where(ops.reshape(chosen, (-1, *[1] * (len(found.shape) - 1))), painted, found)

    def _inpaint(self, positions):
        """`hiding.inpaint`, from the blurred image less what the patch itself gives to it."""
        rank = len(self.extents)
        inside = positions.cut(self.pixels, self.frame)
        hidden, axes = int(np.prod([r.size for r in self.frame])), tuple(range(1, rank + 1))
        seen = int(np.prod(self.extents)) - hidden
        mean = (ops.sum(self.pixels, axis=axes, keepdims=True)
                - ops.sum(inside, axis=axes, keepdims=True)) / max(seen, 1)
        weights = 1.0
        for axis, (region, extent, sigma) in enumerate(
                zip(self.frame, self.extents, self.fills.sigmas, strict=True)):
            table = ops.take(ops.convert_to_tensor(_gaussian(region.rows, extent, sigma)),
                             positions.index[axis], axis=0)
            inside = _along(inside, table, axis + 1)
            shape = [-1] + [region.size if a == axis else 1 for a in range(rank)] + [1]
            weights = weights * ops.reshape(ops.sum(table, axis=1), shape)
        outside = positions.cut(self.blurred, self.frame) - inside
        return (outside + hiding.FAR * mean) / (1.0 - weights + hiding.FAR)


def _gaussian(rows, extent, sigma):
    """Weight of each row of the patch for each row of it, float32 (positions, rows, rows)."""
    line = np.arange(extent)
    weights = np.exp(-0.5 * ((line[:, None] - line) / sigma) ** 2)
    weights = (weights / weights.sum(axis=0)).astype("float32")
    return weights[rows[:, :, None], rows[:, None, :]]


def _along(x, table, axis):
    """The product of one axis of each row of `x` with its own matrix."""
    moved = ops.moveaxis(x, axis, -1)
    flat = ops.reshape(moved, (moved.shape[0], -1, moved.shape[-1]))
    return ops.moveaxis(ops.reshape(ops.matmul(flat, table), moved.shape), -1, axis)


def _one(x, image):
    return ops.take(x, ops.reshape(image, (1,)), axis=0)
