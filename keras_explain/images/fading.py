"""What is left of a heatmap where its fills disagree."""

import numpy as np

from keras_explain.images.pixels import to_finite_float32
from keras_explain.signatures import Array


def fade(heatmap: Array, disagreement: Array) -> np.ndarray:
    """Fade a heatmap where the fills that it averages disagree.

    What is hidden has to be replaced by something, and that decides much of a map. Each number
    is brought toward zero by the disagreement there: where the spread between the fills is as
    large as their average, nothing is left. Callbacks, the dashboard, the command line and exported
    models draw the heatmaps of `baseline="several"` so.

    Args:
        heatmap: the average over the fills, any shape.
        disagreement: their standard deviation, of the same shape and unit.

    Returns:
        float32 of the same shape: the sign of the heatmap times what its magnitude exceeds the
        disagreement by.

    Raises:
        ValueError: If the shapes differ, or a value is NaN or infinite.

    Example:
        >>> fade([[4.0, -4.0, 1.0]], [[1.0, 1.0, 2.0]]).tolist()
        [[3.0, -3.0, 0.0]]
    """
    maps = to_finite_float32(heatmap, "heatmap")
    spread = to_finite_float32(disagreement, "disagreement")
    if maps.shape != spread.shape:
        raise ValueError(
            f"Expected a disagreement of the heatmap's shape {maps.shape}, received"
            f' {spread.shape}. Pass both outputs, "heatmap" and "disagreement", of one prediction.'
        )
    return np.sign(maps) * np.maximum(np.abs(maps) - spread, 0)
