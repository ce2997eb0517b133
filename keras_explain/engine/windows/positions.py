"""The windows of a chunk of patch positions: gather, paste, recompute."""

import keras
import numpy as np
from keras import ops

from keras_explain.engine.windows import span
from keras_explain.graph.steps import Value

_OUTSIDE = -(2**28)


class Positions:
    """The changed windows of all values, for a chunk of patch positions on one image.

    Args:
        plan: a Plan.
        base: Value -> its clean activation, (1, rows..., channels).
        patch: a Patch.
        position: int32 (B,), index into the grid of positions, plus the number of positions for
            each fill before the one that stands in the patch.
        size: B.
    """

    def __init__(self, plan, base, patch, position, size):
        self.plan, self.base, self.size = plan, base, size
        self.index = []
        for n in reversed(plan.counts):
            self.index.insert(0, position % n)
            position = position // n
        self.fill = ops.cast(position, "int32")
        self.now, self.gathered, self.lines = {}, {}, {}
        self.now[plan.value] = patch.at(self)

    def outputs(self, program):
        """The outputs of `program`, which is the plan's, bound."""
        fns = {step.outputs[0]: step.fn for step in program.steps}
        for row in self.plan.rows:
            step = row.step
            fn = fns[step.outputs[0]]
            if row.action is None:
                results = self._whole_step(step, fn)
            else:
                tensors = [self.read(v, frame, row.action.padding)
                           for v, frame in row.action.reads.items()]
                results = [row.action.run(tensors, self, fn)]
            self.now.update(zip(step.outputs, results, strict=True))
        return keras.tree.map_structure(self.whole, program.outputs)

    def read(self, value, frame, padding):
        """The frame of a value, (B, rows..., channels); its clean map if `frame` is None."""
        if frame is None:
            return self.base[value]
        window = self.plan.windows.get(value)
        if window is not None and span.key(span.regions(window)) == span.key(frame):
            return self.now[value]
        name = (value, span.key(frame), padding)
        if name not in self.gathered:
            self.gathered[name] = self._gather(self.base[value], value, frame, padding)
        return self.gathered[name]

    def clean(self, value, frame):
        """The clean activation in a frame."""
        return self.cut(self.base[value], frame)

    def cut(self, tensor, frame):
        """A frame of a map (1, rows..., channels) at each position."""
        return self._gather(tensor, None, frame, 0.0)

    def cut_of(self, tensors, frame, which):
        """The same, of one of several maps (K, rows..., channels) at each position, `which`."""
        extents = tuple(tensors.shape[1:-1])
        first = ops.reshape(which * int(np.prod(extents)), (-1, *[1] * len(extents)))
        index = self._flat([r.rows for r in frame], extents) + first
        return ops.take(ops.reshape(tensors, (-1, tensors.shape[-1])), index, axis=0)

    def along(self, table, axis, rank):
        """Rows of a NumPy table (positions, n) along one axis of a window."""
        shape = [self.size] + [1] * (rank + 1)
        shape[1 + axis] = table.shape[1]
        return ops.reshape(ops.take(ops.convert_to_tensor(table), self.index[axis], axis=0), shape)

    def crop(self, x, regions):
        """Cut a region out of the maps `x`, (B, rows..., channels)."""
        sizes = tuple(x.shape[1:-1])
        index = self._flat([r.rows for r in regions], sizes) + self._offset(sizes)
        return ops.take(ops.reshape(x, (-1, x.shape[-1])), index, axis=0)

    def by_grid_rows(self, run, otherwise):
        """`run()` where the chunk holds whole rows of the grid of positions, else `otherwise()`."""
        each = self.plan.counts[-1]
        if self.size % each:
            return otherwise()
        rows = ops.reshape(self.index[0], (-1, each))
        return ops.cond(ops.all(rows == rows[:, :1]), self._branch(run), self._branch(otherwise))

    def _branch(self, run):
        """`run` as a branch, out of which no tensor is kept for later steps."""
        def branch():
            gathered, lines = dict(self.gathered), dict(self.lines)
            result = run()
            self.gathered, self.lines = gathered, lines
            return result

        return branch

    def _whole_step(self, step, fn):
        env = {v: self.whole(v) for v in step.reads}
        args, kwargs = keras.tree.map_structure(
            lambda v: env[v] if isinstance(v, Value) else v, (step.args, step.kwargs))
        return keras.tree.flatten(fn(*args, **kwargs))

    def whole(self, value):
        """The whole maps of a value, (B, ...)."""
        if value in self.plan.windows:
            return self.read(value, span.whole(self.plan.windows[value]), 0.0)
        if value in self.now:
            return self.now[value]
        clean = self.base[value]
        if not self.plan.program.is_per_example(value):
            return clean
        return ops.broadcast_to(clean, (self.size, *clean.shape[1:]))

    def _gather(self, base, value, frame, padding):
        """One gather of pixels, from the clean map and the changed window pasted over it."""
        extents, channels = tuple(base.shape[1:-1]), base.shape[-1]
        pixels, count = [ops.reshape(base, (-1, channels))], int(np.prod(extents))
        rows = [r.rows for r in frame]
        index = self._flat(rows, extents)
        if any(((r < 0) | (r >= n)).any() for r, n in zip(rows, extents, strict=True)):
            pixels.append(ops.full((1, channels), padding, dtype=base.dtype))
            index = ops.where(index < 0, count, index)
            count += 1
        if value is not None and value in self.now:
            window = self.plan.windows[value]
            sizes = tuple(s.size for s in window)
            pixels.append(ops.reshape(self.now[value], (-1, channels)))
            inner = self._flat([r - s.start[:, None] for r, s in zip(rows, window, strict=True)],
                               sizes)
            index = ops.where(inner >= 0, inner + self._offset(sizes) + count, index)
        pixels = ops.concatenate(pixels) if len(pixels) > 1 else pixels[0]
        return ops.take(pixels, index, axis=0)

    def _offset(self, sizes):
        """Where the pixels of each position begin among those of the chunk."""
        each = np.arange(self.size, dtype="int32") * int(np.prod(sizes))
        return ops.convert_to_tensor(each.reshape(-1, *[1] * len(sizes)))

    def _flat(self, rows, extents):
        """Index of each pixel in a flattened map, int32 (B, rows...); negative outside."""
        name = (extents, *((r.shape, r.tobytes()) for r in rows))
        if name not in self.lines:
            total = None
            for axis, (r, n) in enumerate(zip(rows, extents, strict=True)):
                stride = int(np.prod(extents[axis + 1 :]))
                table = np.where((r >= 0) & (r < n), r * stride, _OUTSIDE).astype("int32")
                line = self.along(table, axis, len(extents))[..., 0]
                total = line if total is None else total + line
            self.lines[name] = total
        return self.lines[name]
