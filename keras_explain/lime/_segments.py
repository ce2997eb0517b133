"""Parts of a series: segments of time, bands of frequency, or patches of both."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_explain.checks import check_integer, is_integer
from keras_explain.waveforms import LEAST, OVERLAP, choose_window, shape_of_grid

DOMAINS = ("time", "frequency", "spectrogram")
_UNITS = {"time": ("", " s"), "frequency": (" cycles", " Hz")}  # without and with a rate


def shape_of_places(domain: str, moments: int, channels: int) -> tuple[int, int]:
    """`(T, F)`, `(K, F)` frequencies from 0 up, or the spectrogram's frequencies and frames."""
    if domain == "spectrogram":
        return shape_of_grid(moments)
    return (moments if domain == "time" else moments // 2 + 1), channels


def split(
    segments: Any, series: np.ndarray, domain: str, data: np.ndarray | None = None
) -> np.ndarray:
    """int32 labels of the shape of `shape_of_places`: 0..S-1, -1 at padding.

    Args:
        segments: a number for each channel, labels `(T,)`, `(T, F)`, or a callable to these; of a
            spectrogram a number of bands and as many frames, two numbers, or labels.
        series: `(T, F)`.
        domain: one of `DOMAINS`.
        data: bool `(T,)`, False at moments of padding; `None` without any.
    """
    places, channels = shape_of_places(domain, *series.shape)
    kept = np.ones(places, bool) if data is None or domain != "time" else data
    if domain == "spectrogram":
        labels = _make_patches(segments, series, (places, channels))
    elif is_integer(segments):
        blocks = _divide(kept, segments)
        labels = blocks[:, None] * channels + np.arange(channels)
    else:
        labels = _check_labels(segments, series, (places, channels))
    labels = np.where(kept[:, None], labels, -1)
    found = np.unique(labels[labels >= 0])
    return np.where(labels < 0, -1, np.searchsorted(found, labels)).astype(np.int32)


def check_segments(segments: Any, domain: str) -> Any:
    """The argument of users, as far as it can be checked without a series."""
    if isinstance(segments, str) or segments is None:
        raise TypeError(
            f"Expected `segments` to be a number for each channel, labels or a callable, received"
            f" {segments!r}. 10 suits most series; bands are segments with domain='frequency'."
        )
    if is_integer(segments):
        check_integer("segments", segments, 1, "10 suits most series.")
    elif is_pair(segments):
        if domain != "spectrogram":
            raise ValueError(
                f"Expected `segments` to be one number with domain={domain!r}, received"
                f" {segments!r}. Two are bands and frames of domain='spectrogram'."
            )
        for number in segments:
            check_integer("segments", number, 1, "(8, 10) is 8 bands by 10 frames.")
    return segments


def is_pair(segments: Any) -> bool:
    """Whether two numbers are given, of bands and of frames."""
    return isinstance(segments, tuple) and len(segments) == 2 and all(map(is_integer, segments))


def name_segments(
    labels: np.ndarray, domain: str, moments: int, names: Sequence[str], rate: float | None
) -> tuple[str, ...]:
    """What the segments are called: `"left, 20 to 30"`, `"440 to 880 Hz"`, or `"segment 3"`."""
    if domain == "spectrogram":
        return _name_patches(labels, moments, rate)
    unit = _UNITS[domain][rate is not None]
    scale = 1.0 if rate is None else (1 / rate if domain == "time" else rate / moments)
    found = []
    for part in range(int(labels.max(initial=-1)) + 1):
        places, channels = np.nonzero(labels == part)
        first, last = places.min(), places.max()
        columns = np.unique(channels)
        if len(places) != (last - first + 1) * len(columns) or len(columns) not in (
                1, labels.shape[1]):
            found.append(f"segment {part}")
            continue
        # A frequency stands for those around it, a moment for the time until the next.
        low, high = first * scale, (last + (domain == "time")) * scale
        span = f"{low:.4g} to {high:.4g}{unit}" if high > low else f"{low:.4g}{unit}"
        alone = labels.shape[1] == 1 or len(columns) > 1
        found.append(span if alone else f"{names[columns[0]]}, {span}")
    return tuple(found)


def _divide(kept: np.ndarray, count: int) -> np.ndarray:
    """Blocks of equal length over the places that are kept."""
    total = max(int(kept.sum()), 1)
    return (np.cumsum(kept) - 1) * min(count, total) // total


def _make_patches(segments: Any, series: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if series.shape[1] != 1 or len(series) < LEAST:
        raise ValueError(
            f"Expected a series of one channel and at least {LEAST} moments with"
            f" domain='spectrogram', received shape {series.shape}. Take domain='frequency'."
        )
    if not (is_integer(segments) or is_pair(segments)):
        return _check_labels(segments, series, shape)
    up, along = (segments, segments) if is_integer(segments) else segments
    rows, columns = (_divide(np.ones(n, bool), k) for n, k in zip(shape, (up, along), strict=True))
    return rows[:, None] * (columns.max() + 1) + columns


def _name_patches(labels: np.ndarray, moments: int, rate: float | None) -> tuple[str, ...]:
    """`"0 to 500 Hz, 0.1 to 0.2 s"`."""
    window, found = choose_window(moments), []
    hop, unit = window // OVERLAP, 1.0 if rate is None else rate
    hertz, seconds = ("", "") if rate is None else (" Hz", " s")
    for part in range(int(labels.max()) + 1):
        up, along = np.nonzero(labels == part)
        ends = np.array([up.min() - 0.5, up.max() + 0.5]) * unit / window
        low, high = np.clip(ends, 0, unit / 2)
        first, last = np.clip(np.array([along.min() - 0.5, along.max() + 0.5]) * hop, 0, moments)
        found.append(f"{low:.4g} to {high:.4g}{hertz}, {first / unit:.4g} to {last / unit:.4g}"
                     f"{seconds}")
    return tuple(found)


def _check_labels(segments: Any, series: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    given = segments(series) if isinstance(segments, Callable) else segments
    labels, places = np.asarray(given), shape[0]
    if labels.dtype.kind not in "iu" or labels.shape not in (shape[:1], shape):
        raise ValueError(
            f"Expected `segments` to be labels of integers, shape ({places},) for all channels"
            f" together or {shape}, received {labels.dtype} of shape"
            f" {labels.shape}. A number such as 10 divides each channel evenly."
        )
    if labels.min() < 0:
        raise ValueError(
            f"Expected labels from 0 in `segments`, received {labels.min()}. Number the parts"
            " 0, 1, 2 and so on."
        )
    return np.broadcast_to(labels.reshape(places, -1), shape)
