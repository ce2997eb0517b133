"""One axis of a map over one axis of the input: where each cell lies and what it can see."""

import dataclasses

from keras import ops


@dataclasses.dataclass(frozen=True)
class Axis:
    """Where the cells along one axis of a value lie along one axis of the input, in pixels.

    The window of cell `i` has its middle at `offset + scale * i` and ends `reach` pixels to
    both sides of it; none of the cells sees anything before pixel `low` or after `high`.

    Args:
        axis: which axis of the value. Where several axes of a map were packed into it, as when a
            map becomes a row of tokens (`packed`), number `t` of it belongs to cell
            `(t - skipped) // block % size`: `skipped` numbers in front are no cells, as the
            class token of a transformer.
        margin: how many of the cells at both ends are padding that no kernel has met yet.
        size: how many cells it has. All numbers are Python's, or scalar tensors where the size
            of the input is known at run time only.
    """

    axis: int
    size: object
    offset: object = 0.0
    scale: object = 1.0
    reach: object = 0.0
    low: object = 0.0
    high: object = 0.0
    margin: tuple = (0, 0)
    block: int = 1
    packed: bool = False
    skipped: int = 0

    def move(self, start, step, size, window=1, axis=None):
        """Cell `j` of the result sees the cells from `start + step * j`, `window` of them."""
        if self.margin != (0, 0):
            before, after = self.margin
            inner = dataclasses.replace(self, size=self.size - before - after, margin=(0, 0))
            return inner.move(start - before, step, size, window, axis)
        if self.packed:
            raise ValueError("several axes in one")
        offset = self.offset + self.scale * (real(start) + (window - 1) / 2)
        scale, reach = self.scale * step, self.reach + abs(self.scale) * (window - 1) / 2
        ends = offset, offset + scale * (real(size) - 1)
        return Axis(
            self.axis if axis is None else axis, size, offset, scale, reach,
            larger(self.low, smaller(*ends) - reach), smaller(self.high, larger(*ends) + reach))

    def pad(self, before, after):
        """With cells added at both ends."""
        if self.packed:
            raise ValueError("several axes in one")
        margin = self.margin[0] + before, self.margin[1] + after
        return dataclasses.replace(self, size=self.size + before + after, margin=margin)

    def settle(self):
        """The same with its margin as cells like others."""
        return self if self.margin == (0, 0) else self.move(0, 1, self.size)

    def spread(self, size, window):
        """`size` cells that share the map without its margin evenly, see `follow_sliding`."""
        inner = dataclasses.replace(
            self, size=self.size - sum(self.margin), margin=(0, 0))
        known = isinstance(inner.size, int) and isinstance(size, int)  # tensors have no truth here
        same = inner.size is size or known and inner.size == size
        factor = 1.0 if same else real(inner.size) / real(size)
        return inner.stretch((factor - 1) / 2, factor, size, (window - 1) / 2)

    @property
    def is_plain(self):
        """Whether each cell is the pixel of its own number."""
        return (is_python(self.offset, self.scale, self.low, self.high, self.size)
                and (self.offset, self.scale) == (0, 1)
                and self.low <= 0 and self.high >= self.size - 1)

    def stretch(self, start, step, size, around=0.0, axis=None):
        """Cell `j` of the result lies at cell `start + step * j` and sees `around` beside it."""
        return self.move(start - around, step, size, 2 * around + 1, axis)


# Numbers of Python, or scalar tensors ---------------------------------------------------------


def real(number):
    return float(number) if isinstance(number, (int, float)) else ops.cast(number, "float32")


def smaller(one, two):
    return min(one, two) if is_python(one, two) else ops.minimum(one, two)


def larger(one, two):
    return max(one, two) if is_python(one, two) else ops.maximum(one, two)


def is_python(*numbers):
    return all(isinstance(n, (int, float)) for n in numbers)
