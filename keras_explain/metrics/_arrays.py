"""Checks of the arrays that metrics take."""

import numpy as np

from keras_explain.data.batches import to_numpy


def check_heatmaps(heatmaps, count=None):
    """Heatmaps as float32 (N, ...), finite."""
    heatmaps = np.asarray(to_numpy(heatmaps), "float32")
    if heatmaps.ndim < 2 or len(heatmaps) == 0 or count not in (None, len(heatmaps)):
        raise ValueError(
            f"Expected {'at least one heatmap' if count is None else f'{count} heatmaps'}, shape"
            f" (N, ...), received an array of shape {heatmaps.shape}. Pass one for each example."
        )
    if not np.isfinite(heatmaps).all():
        raise ValueError(
            "Expected finite heatmaps, received NaN or infinity. Look for them in the inputs and"
            " weights."
        )
    return heatmaps


def check_array(array, spec):
    """Inputs of the shape and type that the network takes, finite."""
    array = np.asarray(array)
    shape = tuple(spec.shape[1:])
    fits = array.ndim == len(shape) + 1 and all(
        n in (None, m) for n, m in zip(shape, array.shape[1:], strict=True))
    if not fits or len(array) == 0:
        raise ValueError(
            f"Expected inputs of shape (N, {', '.join(map(str, shape))}), received"
            f" {array.shape}. For one example, add a batch axis: x[None]."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("Expected finite inputs, received NaN or infinity. Clean the data first.")
    if spec.dtype == "string":
        raise ValueError(
            f"Expected numbers for metrics that hide parts of {spec.name!r}, received texts."
            " Explain and measure the model behind its TextVectorization, or use"
            " `keras_explain.text.leave_one_out`."
        )
    return array.astype(spec.dtype)
