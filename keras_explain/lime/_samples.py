"""Scores of perturbed inputs, the surrogates that fit them, and how far these can be trusted."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_explain.lime.surrogate import Fit, Regression, ShapleyRegression, measure_fit

_LOW_FIDELITY = 0.25


class LimeWarning(UserWarning):
    """An explanation that should not be trusted; the message says why."""


@dataclasses.dataclass(frozen=True)
class Samples:
    """The neighborhood of one input.

    Args:
        features: `(N, S)` float.
        scores: `(N, classes)`, those that are explained.
        weights: `(N,)`, how much each sample counts.
        names: the features' names.
        surrogate: from a `Regression` to a `Fit`.
        num_features: as in `Regression`.
        fixed: number of leading rows that are there whatever the seed.
        exact: whether the rows are all possible ones.
    """

    features: np.ndarray
    scores: np.ndarray
    weights: np.ndarray
    names: tuple[str, ...]
    surrogate: Callable[..., Any]
    num_features: int | None
    fixed: int
    exact: bool

    def fit(self, column: int, rows: Any = slice(None)) -> Fit:
        """The surrogate of one class, fitted to some of the rows."""
        # contiguous: sums in another order would differ with the number of classes
        scores, weights = np.ascontiguousarray(self.scores[rows, column]), self.weights[rows]
        if np.ptp(scores) <= 1e-6 * np.abs(scores).max():  # nothing but float32 noise
            return Fit(np.zeros(len(self.names)), float(scores[0]))
        problem = Regression(
            self.features[rows],
            scores,
            weights / (weights.mean() or 1.0),
            self.names,
            self.num_features,
        )
        fit = self.surrogate(problem)
        return fit if isinstance(fit, Fit) else Fit(*fit)

    def fidelity(self, column: int, fit: Fit, rows: Any = slice(None)) -> float:
        """The weighted R2 of a surrogate."""
        return measure_fit(self.scores[rows, column], fit(self.features[rows]), self.weights[rows])

    def halves(self, column: int) -> tuple[tuple[Fit, np.ndarray], tuple[Fit, np.ndarray]]:
        """The surrogate fitted to each half of the samples, and the rows of each half."""
        random = len(self.scores) - self.fixed
        middle = self.fixed + random // 4 * 2  # an even number: folded pairs stay together
        rows = np.arange(len(self.scores))
        first, second = rows < middle, (rows < self.fixed) | (rows >= middle)
        return (self.fit(column, first), first), (self.fit(column, second), second)

    def held_out_fidelity(self, column: int, halves: Any) -> float:
        """The mean R2 of each half's surrogate on the other half."""
        (one, first), (two, second) = halves
        return (self.fidelity(column, one, second) + self.fidelity(column, two, first)) / 2

    def error(self) -> float:
        """The relative standard error of the weights, of the worst class."""
        errors = []
        for column in range(self.scores.shape[1]):
            (one, _), (two, _) = self.halves(column)
            size = np.linalg.norm(one.weights + two.weights)
            errors.append(np.linalg.norm(one.weights - two.weights) / (size or 1.0))
        return max(errors)

    def effective_size(self) -> float:
        """How many samples of equal weight would say as much (Kish)."""
        return np.square(self.weights.sum()) / max(np.square(self.weights).sum(), 1e-300)


def estimate_stability(first: np.ndarray, second: np.ndarray) -> float:
    """The correlation to expect between the weights of two runs that differ in the seed.

    From the correlation r of the weights of two halves of the samples: 2r / (1 + r), the
    Spearman-Brown formula for samples twice as many. With one or two features, where a correlation
    says nothing, from the cosine of the angle between the weights.
    """
    if len(first) > 2:
        first, second = first - first.mean(), second - second.mean()
    norms = np.linalg.norm(first) * np.linalg.norm(second)
    if norms == 0:
        return float(not first.any() and not second.any())
    r = float(first @ second / norms)
    return min(1.0, 2 * r / (1 + r)) if r > 0 else r


def warn_of_weakness(samples: Samples, result: Any, what: str) -> None:
    """At most one `LimeWarning` for the samples and one per class.

    Args:
        samples: a `Samples`.
        result: a `Result`.
        what: the word for a feature.
    """
    count, size = samples.features.shape
    effective = samples.effective_size()
    if not samples.exact and effective < 2 * size:
        _warn(
            f"LIME: {effective:.0f} effective samples of {count} are few for {size} {what}s. Use "
            f"samples={max(4 * size, 2 * count)}, fewer {what}s or a larger kernel width."
        )
    for number, weights, fidelity in zip(
        result.classes, result.weights, result.fidelity, strict=True
    ):
        if not weights.any():
            _warn(
                f"LIME: all weights of class {number} are 0, because its score does not depend on "
                f"the {what}s. Check the class, the preprocessing and what replaces a {what}."
            )
        elif fidelity < _LOW_FIDELITY and not isinstance(samples.surrogate, ShapleyRegression):
            _warn(
                f"LIME: the surrogate explains {max(fidelity, 0):.0%} of the variance of class "
                f"{number}'s score, so its weights say little. Try more features, other {what}s, "
                "a smaller kernel width or surrogate='decision_tree'."
            )


def _warn(message):
    warnings.warn(message, LimeWarning, stacklevel=6)
