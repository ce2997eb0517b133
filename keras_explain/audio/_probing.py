"""Which axes of a spectrogram are frequency and time, told by tones and clicks that it is made of.

Names and layers tell nothing here: mel, constant-Q and plain spectrograms, inside of a model or
outside, all answer to a tone in one row and to a click in one frame.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

TONES, CLICKS = 384, 48
AT_ONCE = 32
LEAST_ROWS = 8  # fewer may rise by chance, as the filters of a convolution
_MONOTONE = 0.98  # correlation of rows with the tones that they answer to
_OFF = 2.0  # frames from a straight line, at most


@dataclasses.dataclass(frozen=True)
class Front:
    """Where the rows and frames of a spectrogram lie.

    Args:
        frequency, time: its axes, the first one being that of examples.
        frequencies: of each row, in cycles in a moment, 0 to 0.5.
        times: the moment of each frame.
    """

    frequency: int
    time: int
    frequencies: np.ndarray
    times: np.ndarray


def find_front(make: Callable[[np.ndarray], np.ndarray | None], moments: int) -> Front | None:
    """How a function makes spectrograms of waveforms; None where it makes something else.

    Args:
        make: from float32 `(N, T)` to an array with a first axis of N; None where it fails.
        moments: of a waveform.
    """
    clicks = np.linspace(0.1, 0.9, CLICKS) * moments
    waves = np.zeros((CLICKS + 1, moments), np.float32)
    waves[np.arange(CLICKS), clicks.astype(int)] = 1
    answer = make(waves)
    if answer is None or answer.ndim < 3 or len(answer) != len(waves):
        return None
    silence = answer[-1:]
    answer = np.abs(answer[:-1] - silence)
    timed = {a: _find_times(_sum_up(answer, a), clicks.astype(int)) for a in range(1, answer.ndim)}
    if not any(times is not None for times in timed.values()):
        return None
    tones = (np.arange(TONES) + 0.5) / TONES / 2
    sounds = []
    for start in range(0, TONES, AT_ONCE):
        part = np.sin(2 * np.pi * tones[start : start + AT_ONCE, None] * np.arange(moments))
        sounds.append(np.abs(make(part.astype(np.float32)) - silence))
    answer = np.concatenate(sounds)
    for time, times in timed.items():
        for axis in range(1, answer.ndim):
            if times is None or axis == time:
                continue
            frequencies = _find_frequencies(_sum_up(answer, axis), tones)
            if frequencies is not None:
                return Front(axis, time, frequencies, times)
    return None


def _sum_up(answer, axis):
    return answer.mean(axis=tuple(a for a in range(1, answer.ndim) if a != axis))


def _find_times(answer, clicks):
    """The moment of each frame, where the frames that answer to clicks move evenly with them."""
    low, high = answer.min(axis=1, keepdims=True), answer.max(axis=1, keepdims=True)
    if answer.shape[1] < 3 or not (high > low).all():
        return None
    loud = answer > (low + high) / 2
    first, last = loud.argmax(axis=1), answer.shape[1] - 1 - loud[:, ::-1].argmax(axis=1)
    if (last - first).max() > answer.shape[1] / 2:
        return None
    slope, start = np.polyfit(clicks, (first + last) / 2, 1)
    off = np.abs(start + slope * clicks - (first + last) / 2).max()
    if off > _OFF or abs(slope) * np.ptp(clicks) < 2:
        return None
    return (np.arange(answer.shape[1]) - start) / slope


def _find_frequencies(answer, tones):
    """The tone that each row answers to most, where these rise or fall with the rows."""
    spread = np.ptp(answer, axis=0)
    alive = np.flatnonzero(spread > 1e-3 * max(spread.max(), 1e-30))
    if len(alive) < LEAST_ROWS:
        return None
    found = tones[answer[:, alive].argmax(axis=0)]
    ranks = np.argsort(np.argsort(found, kind="stable"))
    if np.ptp(found) < 0.05 or abs(np.corrcoef(ranks, alive)[0, 1]) < _MONOTONE:
        return None
    found = np.sort(found) if found[-1] > found[0] else -np.sort(-found)
    return np.interp(np.arange(answer.shape[1]), alive, found)
