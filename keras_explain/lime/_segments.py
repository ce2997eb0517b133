"""Parts of a series: segments of time in each channel, or bands of its frequencies."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_explain.checks import check_integer, is_integer

DOMAINS = ("time", "frequency")
UNITS = {"time": ("", " s"), "frequency": (" cycles", " Hz")}  # without and with a rate


def count_places(domain: str, moments: int) -> int:
    """How many moments, or frequencies from 0 up, a series of so many moments has."""
    return moments if domain == "time" else moments // 2 + 1


def split(
    segments: Any, series: np.ndarray, domain: str, data: np.ndarray | None = None
) -> np.ndarray:
    """int32 labels `(T, F)` of moments or `(K, F)` of frequencies: 0..S-1, -1 at padding.

    Args:
        segments: a number for each channel, labels `(T,)`, `(T, F)`, or a callable to these.
        series: `(T, F)`.
        domain: one of `DOMAINS`.
        data: bool `(T,)`, False at moments of padding; `None` without any.
    """
    channels, places = series.shape[1], count_places(domain, len(series))
    kept = np.ones(places, bool) if data is None or domain != "time" else data
    if is_integer(segments):
        count = min(segments, int(kept.sum()))
        order = np.cumsum(kept) - 1
        blocks = order * count // max(int(kept.sum()), 1)
        labels = blocks[:, None] * channels + np.arange(channels)
    else:
        labels = _check_labels(segments, series, places)
    labels = np.where(kept[:, None], labels, -1)
    found = np.unique(labels[labels >= 0])
    return np.where(labels < 0, -1, np.searchsorted(found, labels)).astype(np.int32)


def check_segments(segments: Any) -> Any:
    """The argument of users, as far as it can be checked without a series."""
    if isinstance(segments, str) or segments is None:
        raise TypeError(
            f"Expected `segments` to be a number for each channel, labels or a callable, received"
            f" {segments!r}. 10 suits most series; bands are segments with domain='frequency'."
        )
    if is_integer(segments):
        check_integer("segments", segments, 1, "10 suits most series.")
    return segments


def name_segments(
    labels: np.ndarray, domain: str, moments: int, names: Sequence[str], rate: float | None
) -> tuple[str, ...]:
    """What the segments are called: `"left, 20 to 30"`, `"440 to 880 Hz"`, or `"segment 3"`."""
    unit = UNITS[domain][rate is not None]
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


def _check_labels(segments: Any, series: np.ndarray, places: int) -> np.ndarray:
    given = segments(series) if isinstance(segments, Callable) else segments
    labels = np.asarray(given)
    if labels.dtype.kind not in "iu" or labels.shape not in ((places,), (places, series.shape[1])):
        raise ValueError(
            f"Expected `segments` to be labels of integers, shape ({places},) for all channels"
            f" together or {(places, series.shape[1])}, received {labels.dtype} of shape"
            f" {labels.shape}. A number such as 10 divides each channel evenly."
        )
    if labels.min() < 0:
        raise ValueError(
            f"Expected labels from 0 in `segments`, received {labels.min()}. Number the parts"
            " 0, 1, 2 and so on."
        )
    return np.broadcast_to(labels.reshape(places, -1), (places, series.shape[1]))
