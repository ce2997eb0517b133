"""Series with segments of time or bands of frequency out, as `keras.ops` on any backend."""

from typing import Any

from keras import ops

from keras_explain.engine import hiding


def hide(
    domain: str, fills: tuple[Any, ...], sigma: float, masks: Any, which: Any, series: Any,
    labels: Any, data: Any,
) -> Any:
    """Perturbed series `(N, T, F)`, one for each mask.

    Args:
        domain: `"time"` or `"frequency"`.
        fills: what stands in, as `engine.hiding.split` gives it.
        sigma: moments over which `"inpaint"` looks.
        masks: bool `(N, S)`, False where a part is out.
        which: int32 `(N,)`, the fill of each mask.
        series: float32 `(1, T, F)`.
        labels: int32 `(T, F)` or `(K, F)`, the part of each place; -1 always stays.
        data: bool `(1, T)`, False at padding, which stays.
    """
    masks, series, data = map(ops.convert_to_tensor, (masks, series, data))
    keep = ops.take(masks, ops.maximum(labels, 0), axis=1)
    keep = ops.logical_or(keep, labels < 0)
    made = hiding.Fills(series, (1,), fills, [sigma], data, (1, 2))
    if domain == "time":
        return ops.where(keep, series, made.take(which, keep))
    fill = made.take(which, ops.ones_like(series))
    found = fill + _filter(series - fill, keep)
    return ops.where(ops.expand_dims(data, -1), found, series)


def _filter(series, keep):
    """Without the frequencies that are not kept, (N, K, F)."""
    real, imaginary = ops.rfft(ops.transpose(series, (0, 2, 1)))
    keep = ops.cast(ops.transpose(keep, (0, 2, 1)), real.dtype)
    back = ops.irfft((real * keep, imaginary * keep), fft_length=series.shape[1])
    return ops.transpose(back, (0, 2, 1))
