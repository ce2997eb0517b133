"""Deletion and insertion: does the score follow the pixels that a heatmap calls important?"""

import dataclasses

import numpy as np
from keras import ops
from scipy.integrate import trapezoid

from keras_explain.checks import check_positive
from keras_explain.explainers._options import Baseline, Target
from keras_explain.metrics._filling import freeze
from keras_explain.metrics._subject import flat_count
from keras_explain.metrics.evaluator import Asked, Evaluator
from keras_explain.progress import Verbose
from keras_explain.signatures import Array, Inputs, Score


@dataclasses.dataclass(frozen=True)
class _Curve:
    """The plan: pixels change sides in the order of the heatmap."""

    insert: bool
    steps: int
    baseline: object
    patch_size: int

    def count(self, sizes):
        return min(self.steps, flat_count(sizes))

    def prepare(self, heatmap):
        if self.patch_size > 1:
            heatmap = _over_cells(heatmap, self.patch_size)
        flat = ops.reshape(heatmap, (-1, flat_count(heatmap.shape[1:])))
        order = ops.argsort(-flat, axis=-1)  # stable: equal pixels in reading order
        rank = ops.cast(ops.argsort(order, axis=-1), "int32")
        return [rank]

    def see(self, prepared, k, sizes):
        (rank,) = prepared
        bounds = ops.convert_to_tensor(count_changed(flat_count(sizes), self.count(sizes)))
        first = ops.take(bounds, k if self.insert else k + 1)[:, None]
        changed_sides = ops.reshape(rank < first, (-1, *sizes))
        return changed_sides if self.insert else ops.logical_not(changed_sides)


def _over_cells(heatmap, side):
    """The mean of each cell of a grid, at each of its pixels."""
    for axis in range(1, len(heatmap.shape)):
        cell = np.arange(heatmap.shape[axis]) // side
        same = (cell[:, None] == cell[None, :]).astype("float32")
        mean = ops.convert_to_tensor(same / same.sum(axis=0, keepdims=True))
        heatmap = ops.moveaxis(ops.matmul(ops.moveaxis(heatmap, axis, -1), mean), -1, axis)
    return heatmap


def count_changed(pixels, steps):
    """How many pixels have changed at each point of a curve, (steps + 1,) int32."""
    return np.round(np.linspace(0, pixels, steps + 1)).astype("int32")


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """The score as pixels are deleted or inserted.

    Args:
        shares: (K + 1,), the share of the pixels that has changed sides, from 0 to 1.
        scores: (N, K + 1), the score of each example.
    """

    shares: np.ndarray
    scores: np.ndarray

    @property
    def auc(self) -> np.ndarray:
        """Area under each curve (trapezoids), (N,)."""
        return trapezoid(self.scores, self.shares, axis=1)


def deletion_curve(
    model: Asked, x: Inputs, heatmaps: Array | None = None, *, target: Target = None,
    steps: int = 50, patch_size: int = 1, baseline: Baseline = None,
    score: Score = "probability", batch_size: int = 64, verbose: Verbose = "auto",
) -> Curve:
    """The score as the most important pixels are deleted first; see `deletion`.

    Args:
        model, x, heatmaps, target, steps, patch_size, baseline, score, batch_size, verbose: as for
            `deletion`.

    Returns:
        A `Curve`: `shares` (steps + 1,), `scores` (N, steps + 1), `auc` (N,).
    """
    evaluator = Evaluator.of(model, target=target, batch_size=batch_size, verbose=verbose)
    return _curve(evaluator, x, heatmaps, steps, patch_size, baseline, score, insert=False)


def insertion_curve(
    model: Asked, x: Inputs, heatmaps: Array | None = None, *, target: Target = None,
    steps: int = 50, patch_size: int = 1, baseline: Baseline = None,
    score: Score = "probability", batch_size: int = 64, verbose: Verbose = "auto",
) -> Curve:
    """The score as the most important pixels are inserted first; see `insertion`.

    Args:
        model, x, heatmaps, target, steps, patch_size, baseline, score, batch_size, verbose: as for
            `insertion`.

    Returns:
        A `Curve`: `shares` (steps + 1,), `scores` (N, steps + 1), `auc` (N,).
    """
    evaluator = Evaluator.of(model, target=target, batch_size=batch_size, verbose=verbose)
    return _curve(evaluator, x, heatmaps, steps, patch_size, baseline, score, insert=True)


def deletion(
    model: Asked, x: Inputs, heatmaps: Array | None = None, *, target: Target = None,
    steps: int = 50, patch_size: int = 1, baseline: Baseline = None,
    score: Score = "probability", batch_size: int = 64, verbose: Verbose = "auto",
) -> np.ndarray:
    """Area under the score as the most important pixels are deleted first. Lower is better.

    If a heatmap found what the score rests on, the score falls at once.

    Reference: Petsiuk, Das and Saenko 2018, "RISE: Randomized Input Sampling for Explanation of
    Black-box Models", https://arxiv.org/abs/1806.07421.
    Direction: lower is better.
    Cost: `steps` + 1 forward passes per image.
    Weakness: a half-deleted image is like none that the model was trained on. Noise scattered
    over the image destroys a prediction faster than any explanation, so that random single
    pixels score well, and speckled maps with them: compare coarse and fine maps at one
    `patch_size`, and beside the baselines of `compare`. Where a heatmap is flat, pixels go in
    reading order.

    Args:
        model: an explained model; a `keras.Model`, with `heatmaps`; or an `Evaluator`.
        x: inputs as the model takes them, N examples.
        heatmaps: (N, ...), one number per pixel, larger is more important; smaller maps (a
            CAM at its own size) are enlarged. None: those of the explained model.
        target: the class that is watched, see `keras_explain.grad_cam`. None: each image's top
            class, or the target of the explained model.
        steps: points of the curve; in each, the same number of pixels goes. RISE deletes one
            row's worth of pixels at a time, 224 steps.
        patch_size: side of the cells that are deleted as one, in the order of their mean; 1, the
            paper's, is single pixels.
        baseline: what is put in their place: "mean" (of the image, per channel; the default),
            "zero", "blur", "noise" (of the image's own statistics), "inpaint" (from what is seen
            around), a number, a color, an array of the input's shape; or several, over which the
            scores are averaged: "several" (mean, blur, noise and inpainting), or background data
            (`X_train`), of which at most 64 rows are drawn. Tables need rows of data, a value per
            column or a number. A map and a metric that hide by the same fill flatter each other.
        score: "probability", "log_odds" or "logit".
        batch_size: forward passes at a time. It bounds the memory and changes no number.
        verbose: whether progress is shown: "auto" on a terminal, 1 always, 0 never. An
            `Evaluator` has its own `batch_size` and `verbose`.

    Returns:
        float32 of shape (N,), in units of the score.

    Raises:
        ValueError: shapes that do not fit, NaN, a class out of range.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation="softmax")])
        >>> deletion(kx.grad_cam(model), np.random.rand(3, 8, 8, 3)).shape
        (3,)
    """
    return deletion_curve(model, x, heatmaps, target=target, steps=steps, patch_size=patch_size,
                          baseline=baseline, score=score, batch_size=batch_size,
                          verbose=verbose).auc


def insertion(
    model: Asked, x: Inputs, heatmaps: Array | None = None, *, target: Target = None,
    steps: int = 50, patch_size: int = 1, baseline: Baseline = None,
    score: Score = "probability", batch_size: int = 64, verbose: Verbose = "auto",
) -> np.ndarray:
    """Area under the score as the most important pixels are inserted first. Higher is better.

    The image starts blurred, because a sharp edge around the inserted pixels would be evidence
    of its own.

    Reference: Petsiuk, Das and Saenko 2018, "RISE: Randomized Input Sampling for Explanation of
    Black-box Models", https://arxiv.org/abs/1806.07421.
    Direction: higher is better.
    Cost: `steps` + 1 forward passes per image.
    Weakness: it rewards maps that uncover connected areas; fine-grained maps look worse than
    they are. A blurred image may still be recognized: then all curves start high.

    Args:
        baseline: what the image starts from; the default blurs by 5 % of its side (11 pixels at
            224; RISE: 5 pixels). See `deletion`.
        model, x, heatmaps, target, steps, patch_size, score, batch_size, verbose: see `deletion`.

    Returns:
        float32 of shape (N,), in units of the score.
    """
    return insertion_curve(model, x, heatmaps, target=target, steps=steps, patch_size=patch_size,
                           baseline=baseline, score=score, batch_size=batch_size,
                           verbose=verbose).auc


def _curve(evaluator, x, heatmaps, steps, patch_size, baseline, score, insert):
    steps = check_positive("steps", steps)
    patch_size = check_positive("patch_size", patch_size)
    values, heatmaps, request = evaluator.data(x, heatmaps)
    fills = freeze(baseline, evaluator, score, "blur" if insert else "mean")
    plan = _Curve(insert, steps, fills, patch_size)
    scores = evaluator.scores(plan, values, heatmaps, request, score)
    if insert:
        scores = np.roll(scores, -1, axis=1)  # the image as it is comes last
    pixels = np.prod([values[evaluator.subject(score).index].shape[a]
                      for a in evaluator.subject(score).axes])
    return Curve(count_changed(pixels, scores.shape[1] - 1) / np.float32(pixels), scores)
