"""Series without some of their segments, bands or patches, as `keras.ops` on any backend."""

from typing import Any

from keras import ops

from keras_explain.engine import hiding
from keras_explain.waveforms import OVERLAP, choose_window, hann, weigh


def hide(
    domain: str, fills: tuple[Any, ...], sigma: float, masks: Any, which: Any, series: Any,
    labels: Any, data: Any,
) -> Any:
    """Perturbed series `(N, T, F)`, one for each mask.

    Args:
        domain: `"time"`, `"frequency"` or `"spectrogram"`.
        fills: what stands in, as `engine.hiding.split` gives it.
        sigma: moments over which `"inpaint"` looks.
        masks: bool `(N, S)`, False where a part is out.
        which: int32 `(N,)`, the fill of each mask.
        series: float32 `(1, T, F)`.
        labels: int32, see `_segments.split`: the part of each place; -1 always stays.
        data: bool `(1, T)`, False at padding, which stays.
    """
    masks, series, data = map(ops.convert_to_tensor, (masks, series, data))
    keep = ops.take(masks, ops.maximum(labels, 0), axis=1)
    keep = ops.logical_or(keep, labels < 0)
    made = hiding.Fills(series, (1,), fills, [sigma], data, (1, 2))
    if domain == "time":
        return ops.where(keep, series, made.take(which, keep))
    fill = made.take(which, ops.ones_like(series))
    change = _filter if domain == "frequency" else _filter_in_time
    found = fill + change(series - fill, keep)
    return ops.where(ops.expand_dims(data, -1), found, series)


def _filter(series, keep):
    """Without the frequencies that are not kept, (N, K, F)."""
    real, imaginary = ops.rfft(ops.transpose(series, (0, 2, 1)))
    keep = ops.cast(ops.transpose(keep, (0, 2, 1)), real.dtype)
    back = ops.irfft((real * keep, imaginary * keep), fft_length=series.shape[1])
    return ops.transpose(back, (0, 2, 1))


def _filter_in_time(series, keep):
    """Without the places of the spectrogram that are not kept, frequencies by frames.

    As `waveforms` does it: `ops.istft` is off at both ends on TensorFlow.
    """
    moments, count = series.shape[1], keep.shape[2]
    window = choose_window(moments)
    hop, half = window // OVERLAP, window // 2
    padded = ops.pad(series[..., 0], ((0, 0), (half, (count - 1) * hop + half - moments)))
    real, imaginary = ops.stft(padded, window, hop, window, center=False)
    keep = ops.cast(ops.transpose(keep, (0, 2, 1)), real.dtype)
    frames = ops.irfft((real * keep, imaginary * keep), fft_length=window)
    frames = frames * hann(window).astype("float32")
    quarters = [frames[..., k * hop : (k + 1) * hop] for k in range(OVERLAP)]
    added = sum(ops.pad(quarter, ((0, 0), (k, OVERLAP - 1 - k), (0, 0)))
                for k, quarter in enumerate(quarters))
    found = ops.reshape(added, (-1, (count + OVERLAP - 1) * hop))[:, half : half + moments]
    return (found / weigh(moments).astype("float32"))[..., None]
