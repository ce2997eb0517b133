"""Where the pixels of a raw picture are in what a model's preparation makes of it.

Preparations resize, crop, pad and flip pictures. Which of it they do is measured: pictures whose
brightness is the row or the column go through, and come out as the map of where each pixel of
the network's input was.
"""

import warnings
from typing import NamedTuple

import numpy as np

BRIGHT = 255.0
TOLERANCE = 0.6  # pixels


class Axis(NamedTuple):
    """One axis: raw place = scale * place + start, for the places first to last."""

    scale: float
    start: float
    first: int
    last: int

    def moves(self, raw, size):
        """Whether it does anything to a map."""
        near = abs(self.scale - 1) * size < 0.1 and abs(self.start) < 0.1
        return not near or raw != size or (self.first, self.last) != (0, size - 1)


class Frame(NamedTuple):
    """How heatmaps of the network's input and of the raw pictures correspond, both axes."""

    raw: tuple
    size: tuple
    axes: tuple

    @property
    def moves(self):
        """Whether the two differ."""
        return any(axis.moves(r, s) for axis, r, s in zip(
            self.axes, self.raw, self.size, strict=True))

    def to_raw(self, heatmaps):
        """Heatmaps (N, h, w) over the raw pictures, (N, H, W); zero where nothing was seen."""
        rows, columns = (
            _weights(np.arange(raw), 1 / a.scale, -a.start / a.scale, size, a.first, a.last)
            for a, raw, size in zip(self.axes, self.raw, self.size, strict=True))
        return np.einsum("rh,nhw,cw->nrc", rows, heatmaps, columns).astype("float32")

    def to_network(self, heatmaps):
        """Heatmaps (N, H, W) of raw pictures over the network's input, (N, h, w)."""
        rows, columns = (
            _weights(np.arange(size), a.scale, a.start, raw, 0, raw - 1)
            for a, raw, size in zip(self.axes, self.raw, self.size, strict=True))
        return np.einsum("hr,nrc,wc->nhw", rows, heatmaps, columns).astype("float32")


def measure(prepare, shape, channels_last=True):
    """The `Frame` of a preparation of pictures.

    Args:
        prepare: from raw pictures (N, H, W, C) to the network's input (N, h, w, C), or the
            channels first in both.
        shape: of one raw picture, with its channels.
        channels_last: where the channels are.

    Returns:
        A Frame, or None where pictures are not moved along their axes; a warning then.
    """
    def seen(values):
        values = np.broadcast_to(values[..., None], (4, *raw, channels))
        values = values if channels_last else np.moveaxis(values, -1, 1)
        made = np.asarray(prepare(values.astype("float32")), "float64")
        return made if channels_last else np.moveaxis(made, 1, -1)

    *raw, channels = shape if channels_last else (*shape[1:], shape[0])
    y, x = (np.arange(n) / max(n - 1, 1) for n in raw)
    black = np.zeros(raw)
    made = seen(BRIGHT * np.stack(
        [black, black + 1, black + y[:, None], black + x[None, :]]))
    size, span = made.shape[1:3], made[1] - made[0]
    shown = np.abs(span) > 1e-3 * np.abs(span).max()
    with np.errstate(divide="ignore", invalid="ignore"):
        rows, columns = (
            np.where(shown, (m - made[0]) / span, np.nan) * (n - 1)
            for m, n in zip(made[2:], raw, strict=True))
    found = (_axis(rows, raw[0]), _axis(columns.swapaxes(0, 1), raw[1]))
    if None in found:
        warnings.warn(
            "What the model's `predict` does to a picture is not a crop, a flip or a change of"
            " its size: the heatmap is stretched over the whole picture.", stacklevel=2)
        found = tuple(Axis(r / s, (r / s - 1) / 2, 0, s - 1)
                      for r, s in zip(raw, size, strict=True))
    return Frame(tuple(raw), tuple(size), found)


def _axis(places, raw):
    """The `Axis` along the first axis of measured places (h, w, C), None where they are no line."""
    known = np.isfinite(places)
    rows = np.flatnonzero(known.any(axis=(1, 2)))
    if len(rows) == 0:
        return None
    line = np.array([places[i][known[i]].mean() for i in rows])
    spread = max(np.abs(places[i][known[i]] - m).max() for i, m in zip(rows, line, strict=True))
    if len(rows) == 1 or raw == 1:
        return Axis(float(raw), float(line[0]), int(rows[0]), int(rows[-1]))
    inner = (line > 0.01 * raw) & (line < 0.99 * (raw - 1))  # resizing repeats what is outside
    fitted = inner if inner.sum() > 1 else np.ones(len(line), bool)
    scale, start = np.polyfit(rows[fitted], line[fitted], 1)
    wrong = np.abs(np.clip(scale * rows + start, 0, raw - 1) - line).max()
    if max(wrong, spread) > max(TOLERANCE, abs(scale)) or abs(scale) < 1e-6:
        return None
    return Axis(float(scale), float(start), int(rows[0]), int(rows[-1]))


def _weights(to, scale, start, size, first, last):
    """A matrix (len(to), size): values at `scale * to + start`, linear between the places.

    Where several places fall on one of `to`, their mean; zero outside `first` to `last`.
    """
    at = (scale * to + start)[:, None]
    width = max(1.0, abs(scale))
    places = np.arange(first, last + 1)
    weights = np.zeros((len(to), size))
    weights[:, first : last + 1] = np.maximum(
        0, 1 - np.abs(np.clip(at, first, last) - places) / width)
    weights[((at < first - 0.5 - 1e-3) | (at > last + 0.5 + 1e-3))[:, 0]] = 0
    return weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
