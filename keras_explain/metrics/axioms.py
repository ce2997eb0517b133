"""Completeness: does a heatmap add up to the score?"""

import dataclasses

import numpy as np
from keras import ops

from keras_explain.explainers._options import Baseline, Target
from keras_explain.metrics._arrays import check_heatmaps
from keras_explain.metrics._filling import freeze
from keras_explain.metrics.evaluator import Asked, Evaluator
from keras_explain.progress import Verbose
from keras_explain.signatures import Array, Inputs, Score


@dataclasses.dataclass(frozen=True)
class _Nothing:
    """The plan: one trial, the baseline alone."""

    baseline: object

    def count(self, sizes):
        return 1

    def prepare(self, heatmap):
        return [heatmap]

    def see(self, prepared, k, sizes):
        return ops.zeros_like(prepared[0])


def completeness(
    model: Asked, x: Inputs, heatmaps: Array | None = None, *, target: Target = None,
    baseline: Baseline = None, score: Score = "logit", batch_size: int = 64,
    verbose: Verbose = "auto",
) -> np.ndarray:
    """How far the sum of a heatmap is from the score minus that of the baseline.

    Reference: Sundararajan, Taly and Yan 2017, "Axiomatic Attribution for Deep Networks",
    https://arxiv.org/abs/1703.01365.
    Direction: lower is better; 0 for exact integrated gradients, Shapley values, and the
    gradient times input of a linear model.
    Cost: 2 forward passes per image.
    Weakness: it says nothing about which pixels got the numbers, and means something only for
    methods that claim it, with their own baseline and score.

    Args:
        baseline: the one that the method was given, see `deletion`.
        score: what the method explained: "logit", "log_odds" or "probability".
        model, x, heatmaps, target, batch_size, verbose: see `deletion`.

    Returns:
        float64 of shape (N,), in units of the score.
    """
    evaluator = Evaluator.of(model, target=target, batch_size=batch_size, verbose=verbose)
    given = evaluator.heatmaps(x) if heatmaps is None else check_heatmaps(heatmaps)
    values, full, request = evaluator.data(x, given)
    plan = _Nothing(freeze(baseline, evaluator, score, "zero", of_parts=False))
    before, after = evaluator.scores(plan, values, full, request, score).T.astype("float64")
    return np.abs(given.reshape(len(given), -1).sum(axis=1, dtype="float64") - (before - after))
