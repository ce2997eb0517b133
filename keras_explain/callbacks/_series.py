"""Series as pictures: a band for each channel, under which its heatmap lies."""

import numpy as np

from keras_explain.graph.axes import space_axes
from keras_explain.graph.order import are_columns
from keras_explain.graph.tokens import is_tokens
from keras_explain.plots._spectrogram import level
from keras_explain.waveforms import check_waveform

BAND, WIDTH = 48, 480  # pixels of a channel, and at least of all moments
INK = 40
ROWS = 4  # of the map of a channel


def is_series(program, value):
    """Whether an input is numbers along one axis of time, with or without channels."""
    return ("float" in value.spec.dtype and not is_tokens(program, value)
            and space_axes(program, value) == (1,) and not are_columns(program, value))


def draw_lines(x):
    """uint8 `(N, height, width, 3)` of series `(N, T)` or `(N, T, F)`: a line in each band."""
    x = np.asarray(x, "float64")
    x = x[..., None] if x.ndim == 2 else x
    count, moments, channels = x.shape
    width = moments * -(-WIDTH // moments)
    pictures = np.full((count, BAND * channels, width, 3), 255, np.uint8)
    places = np.clip((np.arange(width) + 0.5) / width * moments - 0.5, 0, moments - 1)
    rows = np.arange(BAND)[:, None]
    for picture, series in zip(pictures, x, strict=True):
        for channel, line in enumerate(series.T):
            low, high = line.min(), line.max()
            depth = np.interp(places, np.arange(moments), line)
            depth = (high - depth) / (high - low) if high > low else np.full(width, 0.5)
            height = np.round(4 + depth * (BAND - 9))
            after = np.append(height[1:], height[-1])
            drawn = (rows >= np.minimum(height, after)) & (rows <= np.maximum(height, after))
            picture[BAND * channel : BAND * (channel + 1)][drawn] = INK
    return pictures


def draw_subjects(subjects):
    """Pictures of LIME's series: lines, of spectrograms gray with the lowest frequency below."""
    if subjects[0].domain != "spectrogram":
        return draw_lines(np.stack([subject.curves for subject in subjects]))
    gray = np.stack([255 - 215 * level(check_waveform(s.series)) for s in subjects])
    return np.repeat(np.rint(gray[:, ::-1, :, None]), 3, axis=-1).astype(np.uint8)


def lay_under_subjects(maps, subjects):
    """LIME's heatmaps as maps of these pictures."""
    return maps[:, ::-1] if subjects[0].domain == "spectrogram" else lay_under(maps)


def lay_under(maps):
    """Heatmaps `(N, T)` or `(N, T, F)` as maps of such pictures, `(N, 1 or ROWS * F, T)`.

    The browser enlarges maps smoothly: with a row for each channel one would color its neighbors.
    """
    return maps[:, None] if maps.ndim == 2 else np.repeat(np.swapaxes(maps, 1, 2), ROWS, axis=1)
