"""Sounds: frequencies over time, in gray, with a heatmap over them."""

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from keras_explain.images.colors import color_limits, color_table, is_signed
from keras_explain.plots import _grid
from keras_explain.signatures import Array
from keras_explain.waveforms import (
    OVERLAP,
    check_heatmap,
    check_rate,
    check_waveform,
    choose_window,
    transform,
)

RANGE = 80.0  # decibels from the loudest place to white
COVER = 0.85  # of the gray that the largest number covers


def spectrogram(
    x: Array, heatmap: Array | None = None, *, rate: float | None = None, title: str | None = None,
) -> Figure:
    """Draw a sound as frequencies over time, with its heatmap in color.

    Loud places are dark. Color covers them as far as their number is large: signed heatmaps from
    blue (against the class) to red (for it), others in one palette. Both can be told apart with
    impaired color vision.

    Args:
        x: one waveform, shape (T,) or (T, 1).
        heatmap: over frequency and time, as `audio.keep` takes it, or of each moment, shape (T,);
            None draws the sound alone.
        rate: moments in a second; None counts moments, and cycles in a moment.
        title: above the figure.

    Returns:
        A `matplotlib.figure.Figure`; `figure.savefig("sound.png")` writes it.

    Raises:
        ValueError: no waveform, no heatmap of finite numbers, no rate.

    Example:
        >>> import numpy as np, keras_explain as kx
        >>> chirp = np.sin(np.arange(8000) ** 2 / 8000)
        >>> figure = kx.plots.spectrogram(chirp, [[0, 1], [0, 0]], rate=8000)
        >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
        ('time in seconds', 'frequency in Hz')
    """
    made = _grid.figure(9, 3.4, title)
    draw_spectrogram(made, x, heatmap, rate)
    return made


def draw_spectrogram(made, x, heatmap=None, rate=None, signed=None):
    """Draw what `spectrogram` shows into a figure, or a part of one.

    Args:
        made: a figure or subfigure.
        x, heatmap, rate: those of `spectrogram`.
        signed: whether the heatmap has two sides; None sees.
    """
    waveform = check_waveform(x)
    unit = 1.0 if rate is None else check_rate(rate)
    loud = level(waveform)
    axes = made.subplots()
    window = choose_window(len(waveform))
    high, wide = unit / window / 2, window / OVERLAP / unit / 2  # half of a cell
    extent = (-wide, (2 * loud.shape[1] - 1) * wide, -high, unit / 2 + high)
    place = {"extent": extent, "origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    axes.imshow(255 - loud * 215, cmap="gray", vmin=0, vmax=255, **place)
    if heatmap is not None:
        _lay_over(made, axes, check_heatmap(heatmap, len(waveform)), signed, place)
    axes.set_xlim(0, len(waveform) / unit)
    axes.set_ylim(0, unit / 2)
    timed = rate is not None
    axes.set_xlabel("time in seconds" if timed else "moments", fontsize=9)
    axes.set_ylabel("frequency in Hz" if timed else "cycles in a moment", fontsize=9)
    axes.tick_params(labelsize=8, colors=_grid.QUIET)
    axes.spines[["top", "right"]].set_visible(False)


def level(waveform):
    """How loud each place is, float64 `(K, M)`: 1 at the loudest, 0 where it is 80 dB less."""
    power = np.abs(transform(waveform)) ** 2
    decibels = 10 * np.log10(np.maximum(power / max(power.max(), 1e-30), 10 ** (-RANGE / 10)))
    return 1 + decibels / RANGE


def _lay_over(made, axes, heatmap, signed, place):
    signed = is_signed(heatmap) if signed is None else signed
    low, high = color_limits(heatmap, signed=signed)
    table = color_table(signed=signed)[:, :3] / 255
    colors, scale = ListedColormap(table), Normalize(low, high)
    shown = colors(scale(heatmap))
    share = np.abs(heatmap) / max(abs(low), abs(high), 1e-30) if signed else scale(heatmap)
    shown[..., 3] = COVER * np.clip(share, 0, 1) ** 0.7
    axes.imshow(shown, **place)
    bar = made.colorbar(ScalarMappable(scale, colors), ax=axes, pad=0.01)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
