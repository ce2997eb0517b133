"""One waveform: its short-time Fourier transform, and maps over its grid of frequency and time.

The grid has `K` frequencies, from 0 to half of the rate, and `M` frames, the first around moment 0
and each a hop later. Maps of users may have any number of rows and columns, which share frequencies
and time evenly, the lowest frequency first.
"""

from typing import Any

import numpy as np

OVERLAP = 4  # windows that cover each moment
LEAST = 64  # moments of a waveform that has a spectrogram


def check_waveform(waveform: Any) -> np.ndarray:
    """float64 `(T,)` of one waveform `(T,)` or `(T, 1)`, whole numbers as shares of their range."""
    found = np.asarray(waveform)
    flat = found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
    if flat.ndim != 1 or len(flat) < LEAST or flat.dtype.kind not in "fi":
        raise ValueError(
            f"Expected one waveform of {LEAST} moments or more, shape (T,) or (T, 1), received"
            f" {found.dtype} of shape {found.shape}. Take one example and one channel: x[0]."
        )
    if not np.isfinite(flat).all():
        raise ValueError(
            "Expected a waveform of finite numbers, received NaN or infinity. Clean it first.")
    return flat / -float(np.iinfo(flat.dtype).min) if flat.dtype.kind == "i" else flat.astype(float)


def check_heatmap(heatmap: Any, moments: int) -> np.ndarray:
    """float64 `(K, M)` of a map over frequency and time, or over moments `(T,)` or `(T, 1)`."""
    found = np.asarray(heatmap, float)
    found = found[None] if found.ndim == 1 else found
    found = found.T if found.shape == (moments, 1) else found
    if found.ndim != 2 or found.size == 0 or not np.isfinite(found).all():
        raise ValueError(
            "Expected one heatmap of finite numbers, over frequency and time or of shape (T,),"
            f" received shape {np.shape(heatmap)}. Take one example: heatmap[0]."
        )
    return lay_on_grid(found, moments)


def check_rate(rate: Any) -> float:
    """Moments in a second."""
    if isinstance(rate, bool) or not np.isscalar(rate) or not 0 < rate < np.inf:
        raise ValueError(
            f"Expected `rate` to be the number of moments in a second, received {rate!r}. Such as"
            " 16000 for sound."
        )
    return float(rate)


def choose_window(moments: int) -> int:
    """Moments of a window, a power of two: about 64 windows side by side, 32 to 1,024 moments."""
    return int(2 ** np.clip(np.round(np.log2(moments / 64)), 5, 10))


def shape_of_grid(moments: int) -> tuple[int, int]:
    """Frequencies and frames of a waveform of so many moments."""
    window = choose_window(moments)
    return window // 2 + 1, 1 + moments // (window // OVERLAP)


def transform(waveform: np.ndarray) -> np.ndarray:
    """Complex `(K, M)` of a waveform `(T,)`."""
    window = choose_window(len(waveform))
    hop = window // OVERLAP
    count = shape_of_grid(len(waveform))[1]
    padded = np.zeros(window + hop * (count + OVERLAP))
    padded[window // 2 : window // 2 + len(waveform)] = waveform
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[:: hop][:count]
    return np.fft.rfft(frames * hann(window), axis=1).T


def invert(spectrum: np.ndarray, moments: int) -> np.ndarray:
    """float32 `(T,)` of the least squared error to a changed transform `(K, M)`."""
    window = choose_window(moments)
    frames = np.fft.irfft(spectrum.T, window, axis=1) * hann(window)
    return (_add_up(frames)[window // 2 :][:moments] / weigh(moments)).astype(np.float32)


def weigh(moments: int) -> np.ndarray:
    """`(T,)`: how much the windows of a transform and its inverse weigh each moment."""
    window = choose_window(moments)
    weights = np.broadcast_to(hann(window) ** 2, (shape_of_grid(moments)[1], window))
    return _add_up(weights)[window // 2 :][:moments]


def hann(window: int) -> np.ndarray:
    """Hann's window, periodic."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)


def interpolate(positions: np.ndarray, size: int) -> np.ndarray:
    """Weights `(len(positions), size)` of the cells beside each position; 0 is the first cell.

    What lies beyond the middle of the first or last cell takes that cell.
    """
    positions = np.clip(np.asarray(positions, float), 0, size - 1)
    return np.maximum(1 - np.abs(positions[:, None] - np.arange(size)), 0)


def lay_on_grid(heatmap: np.ndarray, moments: int) -> np.ndarray:
    """float64 `(K, M)` of a map of any size."""
    heatmap = np.asarray(heatmap, float)
    rows, frames = shape_of_grid(moments)
    if heatmap.shape == (rows, frames):
        return heatmap
    hop = choose_window(moments) // OVERLAP
    up = np.arange(rows) / (rows - 1) * heatmap.shape[0] - 0.5
    along = np.arange(frames) * hop / moments * heatmap.shape[1] - 0.5
    return interpolate(up, heatmap.shape[0]) @ heatmap @ interpolate(along, heatmap.shape[1]).T


def _add_up(frames):
    """Frames laid over each other, each a hop after the one before."""
    count, window = frames.shape
    hop = window // OVERLAP
    blocks = np.zeros((count + OVERLAP - 1, hop))
    for k in range(OVERLAP):
        blocks[k : k + count] += frames[:, k * hop : (k + 1) * hop]
    return blocks.ravel()
