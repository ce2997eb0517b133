"""Average drop and increase in confidence: is what a heatmap shows enough for the model?"""

import dataclasses

import numpy as np
from keras import ops

from keras_explain.explainers._options import Baseline, Target
from keras_explain.metrics._filling import freeze
from keras_explain.metrics.evaluator import Asked, Evaluator
from keras_explain.progress import Verbose
from keras_explain.signatures import Array, Inputs


@dataclasses.dataclass(frozen=True)
class _Shown:
    """The plan: one trial, the input seen through its heatmap."""

    baseline: object

    def count(self, sizes):
        return 1

    def prepare(self, heatmap):
        visible = ops.relu(heatmap)
        largest = ops.max(visible, axis=tuple(range(1, len(visible.shape))), keepdims=True)
        return [ops.divide_no_nan(visible, largest)]

    def see(self, prepared, k, sizes):
        return prepared[0]


def average_drop(
    model: Asked, x: Inputs, heatmaps: Array | None = None, *, target: Target = None,
    baseline: Baseline = None, batch_size: int = 64, verbose: Verbose = "auto",
) -> np.ndarray:
    """The share of the score that is lost when only the heatmap's pixels are seen.

    The input is multiplied with its heatmap, scaled to 0..1 (negative values are 0), and the
    score compared: max(0, before - after) / before. Its mean over images is the paper's number.

    Reference: Chattopadhay et al. 2018, "Grad-CAM++: Generalized Gradient-Based Visual
    Explanations for Deep Convolutional Networks", https://arxiv.org/abs/1710.11063.
    Direction: lower is better, from 0 to 1 (the paper writes percent).
    Cost: 2 forward passes per image.
    Weakness: a heatmap that is 1 everywhere is perfect, and a large blob does better than a
    small one that is as right. Read it beside `complexity`.

    Args:
        baseline: what is seen where the heatmap is 0, see `deletion`; the paper's is black
            after preprocessing, often the mean color.
        model, x, heatmaps, target, batch_size, verbose: see `deletion`. The score is the
            probability.

    Returns:
        float32 of shape (N,); NaN where the score was 0.
    """
    evaluator = Evaluator.of(model, target=target, batch_size=batch_size, verbose=verbose)
    before, after = _scores(evaluator, x, heatmaps, baseline)
    return np.maximum(before - after, 0) / np.where(before > 0, before, np.nan)


def increase_in_confidence(
    model: Asked, x: Inputs, heatmaps: Array | None = None, *, target: Target = None,
    baseline: Baseline = None, batch_size: int = 64, verbose: Verbose = "auto",
) -> np.ndarray:
    """Whether the score rises when only the heatmap's pixels are seen: 1 or 0 for each image.

    Reference: Chattopadhay et al. 2018, "Grad-CAM++: Generalized Gradient-Based Visual
    Explanations for Deep Convolutional Networks", https://arxiv.org/abs/1710.11063.
    Direction: higher is better; its mean is the share of images.
    Cost: 2 forward passes per image.
    Weakness: that of `average_drop`; and a model that is sure already cannot rise.

    Args:
        model, x, heatmaps, target, baseline, batch_size, verbose: see `average_drop`.

    Returns:
        float32 of shape (N,).
    """
    evaluator = Evaluator.of(model, target=target, batch_size=batch_size, verbose=verbose)
    before, after = _scores(evaluator, x, heatmaps, baseline)
    return (after > before).astype("float32")


def _scores(evaluator, x, heatmaps, baseline):
    values, heatmaps, request = evaluator.data(x, heatmaps)
    plan = _Shown(freeze(baseline, evaluator, "probability"))
    return evaluator.scores(plan, values, heatmaps, request).T
