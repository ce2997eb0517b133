"""A dense layer on a flattened map: the clean sums plus its kernel times the difference.

The positions of one row of the grid change the same lines of the map, and share those of the
kernel. So their windows are widened to strips of the whole width, with zeros: one matrix product
a row of the grid, where one a position would read the kernel as often.
"""

import numpy as np
from keras import ops

# Above this share of the map's lines the product with the whole map is as fast.
LARGEST = 0.25


def sums(step, window, x, positions, fn):
    """What the layer gives at each position, (B, units).

    Args:
        step: the step, whose one input is a map of two axes.
        window: Spans of the map.
        x: its changed windows, (B, rows, columns, channels).
        positions: Positions.
        fn: the step's Affine, bound.
    """
    value, output = step.reads[0], step.outputs[0]

    def by_strips():
        kernel = fn.constants()[0]
        changed = ops.cast(x - positions.clean(value, window), kernel.dtype)
        return ops.cast(positions.base[output], output.spec.dtype) + (
            _differences(changed, kernel, window, positions, output.spec.dtype))

    return positions.by_grid_rows(
        by_strips, lambda: ops.cast(fn(positions.whole(value)), output.spec.dtype))


def _differences(changed, kernel, window, positions, dtype):
    """`changed` (B, rows, columns, channels) times its part of the kernel, (B, units)."""
    lines, columns = window
    each, units = positions.plan.counts[-1], kernel.shape[-1]
    first = _starts(columns, 1, positions)[:, None] + ops.arange(columns.size, dtype="int32")
    places = ops.one_hot(first, columns.extent, dtype=kernel.dtype)
    strips = ops.einsum("bhwc,bwv->bhvc", changed, places)
    strips = ops.reshape(strips, (-1, each, int(np.prod(strips.shape[1:]))))
    parts = ops.reshape(kernel, (lines.extent, -1, units))
    starts = _starts(lines, 0, positions)[::each]
    return ops.reshape(_products(strips, parts, starts, lines.size, dtype), (-1, units))


def _products(strips, parts, starts, size, dtype):
    """Each of `strips` (n, B, size * k) times `size` of the kernel's `parts` (lines, k, units)."""
    count, batch, width = strips.shape
    units = parts.shape[-1]

    def step(i, found):
        part = ops.slice(parts, (starts[i], 0, 0), (size, *parts.shape[1:]))
        product = ops.matmul(strips[i], ops.reshape(part, (width, units)))
        return i + 1, ops.scatter_update(found, ops.reshape(i, (1, 1)),
                                         ops.cast(product, dtype)[None])

    start = ops.convert_to_tensor(0, "int32"), ops.zeros((count, batch, units), dtype)
    return ops.while_loop(lambda i, found: i < count, step, start)[1]


def _starts(spans, axis, positions):
    """Where the window begins along an axis, (B,)."""
    table = spans.start.astype("int32")[:, None]
    return ops.reshape(positions.along(table, axis, axis), (-1,))
