"""What remains of a sound where its heatmap is largest."""

import os

import numpy as np

from keras_explain.audio._wav import write_wav
from keras_explain.signatures import Array
from keras_explain.waveforms import check_heatmap, check_waveform, invert, transform


def keep(
    waveform: Array, heatmap: Array, top: float = 0.1, *, rate: float | None = None,
    path: str | os.PathLike[str] | None = None,
) -> np.ndarray:
    """The sound of what a model heard: all but the places with the largest numbers are silent.

    Ears judge sounds better than eyes judge spectrograms. The waveform is taken apart into
    frequencies over time (short-time Fourier transform), what the heatmap does not point to is set
    to 0, and the rest is put together again, as the waveform whose transform is nearest.

    Reference: Griffin and Lim 1984, "Signal estimation from modified short-time Fourier
    transform", IEEE Transactions on Acoustics, Speech, and Signal Processing.

    Args:
        waveform: shape (T,) or (T, 1).
        heatmap: over frequency and time, any number of rows, the lowest frequency first, and of
            columns, which share the frequencies from 0 to half of the rate and the time evenly;
            or of each moment, shape (T,) or (T, 1).
        top: the share of places that is kept, 0 to 1, where numbers are above 0. Places of equal
            numbers, such as those of one LIME patch, are kept together.
        rate: moments in a second, for the file.
        path: a WAV file to write; None writes none.

    Returns:
        float32 of shape (T,).

    Raises:
        ValueError: no waveform or heatmap, a share outside of 0 to 1, a heatmap without numbers
            above 0, a path without a rate.

    Example:
        >>> import numpy as np, keras_explain as kx
        >>> time = np.arange(4096) / 4096
        >>> low, high = np.sin(2 * np.pi * 200 * time), np.sin(2 * np.pi * 1500 * time)
        >>> heard = kx.audio.keep(low + high, [[0.0], [1.0]], top=0.5)  # the upper half
        >>> [round(float(abs(heard @ tone) / (tone @ tone)), 1) for tone in (low, high)]
        [0.0, 1.0]
    """
    waveform = check_waveform(waveform)
    heatmap = check_heatmap(heatmap, len(waveform))
    if isinstance(top, bool) or not np.isscalar(top) or not 0 < top <= 1:
        raise ValueError(f"Expected `top` to be a share above 0 and up to 1, received {top!r}."
                         " 0.1 keeps a tenth of all places.")
    if path is not None and rate is None:
        raise ValueError("Expected `rate` with `path`, because a WAV file has one, received None."
                         " Pass the number of moments in a second, such as rate=16000.")
    if heatmap.max() <= 0:
        raise ValueError(
            "Expected a heatmap with numbers above 0, received none: nothing would remain. Where"
            " it is negative, pass -heatmap to hear what speaks against the class."
        )
    least = np.sort(heatmap, axis=None)[-int(np.ceil(top * heatmap.size))]
    mask = (heatmap >= least) & (heatmap > 0)
    found = invert(transform(waveform) * mask, len(waveform))
    if path is not None:
        write_wav(path, found, rate=rate)
    return found
