"""Series: a line for each channel, in the color of what each moment counts for."""

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from keras_explain.images.colors import color_limits, color_table, is_signed
from keras_explain.plots import _grid
from keras_explain.signatures import Array

MOST_CHANNELS = 24  # lines that a page has room for


def series(
    x: Array, heatmap: Array, *, feature_names: Sequence[str] | None = None,
    times: Sequence[float] | None = None, title: str | None = None,
) -> Figure:
    """Draw one series with a line for each channel, colored by its heatmap.

    The color of a line tells what its channel counts for at that moment: one scale for all
    channels, so that they can be compared. Signed heatmaps go from blue (against the class) over
    white, drawn gray, to red (for it); others from faint to strong. Both can be told apart with
    impaired color vision, and width says the same: what counts more is drawn thicker.

    Args:
        x: one series, shape (T,) or (T, F), as the model takes it.
        heatmap: of shape (T, F), as builders give it with `channels="keep"`, or (T,), which then
            colors each channel alike.
        feature_names: of the channels.
        times: when each moment was, shape (T,); None counts them.
        title: above the figure.

    Returns:
        A `matplotlib.figure.Figure`; `figure.savefig("series.png")` writes it.

    Raises:
        ValueError: shapes that do not fit, NaN, more than 24 channels.

    Example:
        >>> import numpy as np, keras_explain as kx
        >>> x = np.sin(np.arange(100)[:, None] / [5, 9])
        >>> figure = kx.plots.series(x, x**2, feature_names=["left", "right"])
        >>> [axes.get_ylabel() for axes in figure.axes[:2]]
        ['left', 'right']
    """
    made = _grid.figure(9, measure_height(x), title)
    draw_series(made, x, heatmap, feature_names, times)
    return made


def measure_height(x):
    """Inches of the lines of one series."""
    return 0.9 + 0.9 * min(np.shape(x)[1] if np.ndim(x) > 1 else 1, MOST_CHANNELS)


def draw_series(made, x, heatmap, feature_names=None, times=None, unit=None, signed=None):
    """Draw the lines of `series` into a figure, or a part of one.

    Args:
        made: a figure or subfigure.
        x, heatmap, feature_names, times: those of `series`.
        unit: what `times` are, below the figure; None says nothing.
        signed: whether the heatmap has two sides; None sees.
    """
    x, heatmap = _check(x, heatmap)
    count, channels = x.shape
    names = [f"channel {i}" for i in range(channels)] if feature_names is None else [
        str(name) for name in feature_names]
    times = np.arange(count) if times is None else np.asarray(times, "float64")
    if len(names) != channels or times.shape != (count,):
        raise ValueError(
            f"Expected {channels} `feature_names` and {count} `times`, received {len(names)} and"
            f" {times.shape}. Give one name for each channel and one time for each moment."
        )
    signed = is_signed(heatmap) if signed is None else signed
    low, high = color_limits(heatmap, signed=signed)
    colors = ListedColormap(_darken(color_table(signed=signed)[:, :3] / 255, signed))
    rows = made.subplots(channels, 1, sharex=True, squeeze=False)[:, 0]
    for axes, name, line, weights in zip(rows, names, x.T, heatmap.T, strict=True):
        _draw_line(axes, times, line, weights, colors, Normalize(low, high))
        axes.set_ylabel(_grid.escape_dollars(name), fontsize=9)
    bar = made.colorbar(ScalarMappable(Normalize(low, high), colors), ax=list(rows), pad=0.01)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    if unit:
        rows[-1].set_xlabel(unit, fontsize=9, color=_grid.QUIET)


def _check(x, heatmap):
    x, heatmap = np.asarray(x, "float64"), np.asarray(heatmap, "float64")
    x = x[:, None] if x.ndim == 1 else x
    heatmap = heatmap[:, None] if heatmap.ndim == 1 else heatmap
    if x.ndim != 2 or heatmap.ndim != 2 or len(heatmap) != len(x) or len(x) < 2 or (
            heatmap.shape[1] not in (1, x.shape[1])):
        raise ValueError(
            "Expected one series of shape (T,) or (T, F) and its heatmap of shape (T,) or (T, F),"
            f" received {x.shape} and {heatmap.shape}. Take one example: x[0], heatmap[0]."
        )
    if x.shape[1] > MOST_CHANNELS:
        raise ValueError(
            f"Expected at most {MOST_CHANNELS} channels, received {x.shape[1]}. Choose those with"
            " the largest numbers, such as heatmap.max(axis=0).argsort()[-8:]."
        )
    if not (np.isfinite(x).all() and np.isfinite(heatmap).all()):
        raise ValueError("Expected finite numbers, received NaN or infinity. Clean the data first.")
    return x, np.broadcast_to(heatmap, x.shape)


def _darken(table, signed):
    """Colors that a thin line on white shows: none is lighter than a middle gray."""
    if not signed:
        table = table[::-1]  # dark is much
    light = table @ [0.2126, 0.7152, 0.0722]
    return table * np.minimum(1.0, 0.72 / np.maximum(light, 1e-6))[:, None]


def _draw_line(axes, times, line, weights, colors, scale):
    """A piece for each moment: half of the way from the last one, half to the next."""
    ends = np.stack([_find_middles(times), _find_middles(line)], axis=1)
    points = np.stack([times, line], axis=1)
    pieces = np.stack([ends[:-1], points, ends[1:]], axis=1)
    share = np.abs(weights) / max(abs(scale.vmin), abs(scale.vmax), 1e-30)
    drawn = LineCollection(pieces, cmap=colors, norm=scale, linewidths=0.9 + 2.6 * share,
                           capstyle="round")
    drawn.set_array(weights)
    axes.add_collection(drawn)
    axes.set_xlim(times.min(), times.max())
    low, high = line.min(), line.max()
    room = 0.08 * (high - low) or 1.0
    axes.set_ylim(low - room, high + room)
    axes.tick_params(labelsize=8, colors=_grid.QUIET)
    axes.spines[["top", "right"]].set_visible(False)


def _find_middles(numbers):
    return np.concatenate([numbers[:1], (numbers[1:] + numbers[:-1]) / 2, numbers[-1:]])
