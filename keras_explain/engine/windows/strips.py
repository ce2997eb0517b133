"""A dense layer on a flattened map: the clean sums plus its kernel times the difference.

The positions of one row of the grid change the same lines of the map, and share those of the
kernel. So their windows are widened to strips of the whole width, with zeros: one matrix product
a row of the grid, where one a position would read the kernel as often.
"""

from keras import ops

# Above this share of the map's lines the product with the whole map is as fast.
LARGEST = 0.25


def sums(step, window, positions, fn):
    """What the layer gives at each position, (B, units).

    Args:
        step: the step, whose one input is a map of two axes.
        window: Spans of the map.
        positions: Positions.
        fn: the step's Affine, bound.
    """
    value, output = step.reads[0], step.outputs[0]
    lines, columns = window
    strip = (lines.frame, columns.whole)

    def by_strips():
        kernel = fn.constants()[0]
        changed = positions.read(value, strip, 0.0) - positions.clean(value, strip)
        each, units = positions.plan.counts[-1], kernel.shape[-1]
        strips = ops.reshape(ops.cast(changed, kernel.dtype),
                             (positions.size // each, each, -1))
        parts = ops.reshape(kernel, (lines.extent, -1, units))
        starts = positions.along(lines.start.astype("int32")[:, None], 0, 0)[::each, 0]

        def product(row):
            part = ops.slice(parts, (row[1], 0, 0), (lines.size, *parts.shape[1:]))
            return ops.matmul(row[0], ops.reshape(part, (-1, units)))

        found = ops.reshape(ops.map(product, (strips, starts)), (-1, units))
        return ops.cast(positions.base[output], output.spec.dtype) + (
            ops.cast(found, output.spec.dtype))

    return positions.by_grid_rows(
        by_strips, lambda: ops.cast(fn(positions.whole(value)), output.spec.dtype))
