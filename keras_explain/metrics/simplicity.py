"""Complexity and sparseness: how many pixels does a heatmap name?"""

import keras
import numpy as np
from scipy.stats import entropy

from keras_explain.metrics.evaluator import maps_of
from keras_explain.signatures import Array, Inputs


def complexity(heatmaps: Array | keras.Model, x: Inputs | None = None) -> np.ndarray:
    """Entropy of a heatmap's magnitudes, in nats.

    Reference: Bhatt, Weller and Moura 2020, "Evaluating and Aggregating Feature-based Model
    Explanations", https://arxiv.org/abs/2005.00631.
    Direction: lower is simpler; from 0 (one pixel) to log(pixels) (constant).
    Cost: no forward pass.
    Weakness: simple is not true. Any map can be sharpened.

    Args:
        heatmaps: array (N, ...), or an explained model.
        x: the inputs, for an explained model.

    Returns:
        float64 of shape (N,); NaN for a blank map.

    Example:
        >>> round(float(complexity(np.ones((1, 4, 4)))[0]), 3) == round(float(np.log(16)), 3)
        True
    """
    share = _magnitudes(heatmaps, x)
    total = share.sum(axis=1, keepdims=True)
    return entropy(share / np.where(total > 0, total, np.nan), axis=1)


def sparseness(heatmaps: Array | keras.Model, x: Inputs | None = None) -> np.ndarray:
    """Gini index of a heatmap's magnitudes.

    Reference: Chalasani et al. 2020, "Concise Explanations of Neural Networks using Adversarial
    Training", https://arxiv.org/abs/1810.06583.
    Direction: higher is sparser; from 0 (constant) to nearly 1 (one pixel).
    Cost: no forward pass.
    Weakness: that of `complexity`.

    Args:
        heatmaps, x: see `complexity`.

    Returns:
        float64 of shape (N,); NaN for a blank map.
    """
    sizes = np.sort(_magnitudes(heatmaps, x), axis=1)
    count, total = sizes.shape[1], sizes.sum(axis=1)
    weights = 2 * np.arange(1, count + 1) - count - 1
    return sizes @ weights / np.where(total > 0, count * total, np.nan)


def _magnitudes(heatmaps, x):
    maps = maps_of(heatmaps, x)
    return np.abs(maps.reshape(len(maps), -1).astype("float64"))
