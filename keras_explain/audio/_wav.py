"""Waveforms as WAV files, by Python's own module."""

import os
import wave

import numpy as np

from keras_explain.signatures import Array
from keras_explain.waveforms import check_rate, check_waveform


def write_wav(path: str | os.PathLike[str], waveform: Array, *, rate: float) -> None:
    """Write a sound that every player plays: one channel, 16 bits.

    Args:
        path: of the file, which is written anew.
        waveform: shape (T,) or (T, 1); floats from -1 to 1, or whole numbers of any size. What is
            louder than that is made quieter as a whole, not cut off.
        rate: moments in a second.

    Raises:
        ValueError: no waveform, or no rate.

    Example:
        >>> import numpy as np, keras_explain as kx
        >>> tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
        >>> kx.audio.write_wav("tone.wav", tone, rate=8000)  # doctest: +SKIP
    """
    waveform, rate = check_waveform(waveform), check_rate(rate)
    peak = max(1.0, np.abs(waveform).max())
    samples = np.rint(waveform / peak * 32767).astype("<i2")
    with wave.open(os.fspath(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(round(rate))
        file.writeframes(samples.tobytes())
