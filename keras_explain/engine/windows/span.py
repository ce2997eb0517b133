"""Intervals: which rows of an activation a patch can change, along one axis.

Everything here is NumPy at planning time. Axes are independent of one another: the patch at
grid position (i, j) changes the rows of span i and the columns of span j.
"""

import numpy as np


class Span:
    """One axis of a window: for every patch position, rows `low` to `high` may change.

    What is kept is a frame of the same `size` at all positions, from row `start`: the changed
    rows, and at a border some unchanged ones beside them.
    """

    def __init__(self, low, high, extent, start=None, size=None):
        self.low = np.clip(low, 0, extent - 1)
        self.high = np.clip(np.maximum(high, self.low), 0, extent - 1)
        self.extent = extent
        self.size = int(np.max(self.high - self.low) + 1) if size is None else size
        self.start = np.clip(self.low, 0, extent - self.size) if start is None else start

    @property
    def frame(self):
        return Region(self.start, self.size)

    @property
    def whole(self):
        """The frame that is the whole axis."""
        return Region(np.zeros_like(self.start), self.extent)

    def shift(self, before, extent):
        """On a map that was padded (or cropped, with a negative number) by `before` rows."""
        low, high = self.low + before, self.high + before
        start = self.start + before
        if np.min(start) >= 0 and np.max(start) + self.size <= extent:
            return Span(low, high, extent, start, self.size)
        return Span(low, high, extent)

    def repeat(self, times):
        """On a map in which every row stands `times` times."""
        return Span(self.low * times, self.high * times + times - 1, self.extent * times,
                    self.start * times, self.size * times)

    def through(self, kernel, stride, dilation, before, extent):
        """After a sliding kernel, `before` rows of padding and `extent` rows of output.

        Returns:
            The span of the output, and the region of the input that computes it.
        """
        reach = (kernel - 1) * dilation + 1
        low = -((-(self.low + before - reach + 1)) // stride)
        span = Span(low, (self.high + before) // stride, extent)
        return span, Region(span.start * stride - before, (span.size - 1) * stride + reach)

    def through_transposed(self, kernel, stride, dilation, before, extent):
        """After a transposed convolution that drops `before` rows at the top.

        Returns:
            The span of the output, the region of the input that computes it, and the row at
            which the span begins in the output of that region.
        """
        reach = (kernel - 1) * dilation + 1
        span = Span(self.low * stride - before, self.high * stride - before + reach - 1, extent)
        first = -((-(span.start + before - reach + 1)) // stride)
        last = (span.start + span.size - 1 + before) // stride
        region = Region(first, int(np.max(last - first)) + 1)
        return span, region, span.start + before - first * stride


class Region:
    """`size` rows from row `start` at each position; rows outside of the map are padding."""

    def __init__(self, start, size):
        self.start, self.size = np.asarray(start), int(size)
        self.key = (self.start.tobytes(), self.size)

    @property
    def rows(self):
        return self.start[:, None] + np.arange(self.size)


def same_padding(size, kernel, stride, dilation):
    """Rows before and after a map of `size` rows with padding="same"."""
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def union(spans):
    """The span that holds all of `spans`, which lie on the same axis."""
    first = spans[0]
    if all(s.frame.key == first.frame.key for s in spans):
        start, size = first.start, first.size
    else:
        start = size = None
    low = np.min([s.low for s in spans], axis=0)
    high = np.max([s.high for s in spans], axis=0)
    return Span(low, high, first.extent, start, size)


def regions(window):
    """The frame of a window, axis by axis."""
    return tuple(span.frame for span in window)


def whole(window):
    return tuple(span.whole for span in window)


def key(frame):
    return tuple(region.key for region in frame)


def share(window):
    """Part of the map that the window covers."""
    return float(np.prod([s.size / s.extent for s in window]))
