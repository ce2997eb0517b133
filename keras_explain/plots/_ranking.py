"""Figures of features in order, and of how well a linear model stands for a network."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from keras_explain.plots import _grid

_MOST_POINTS = 4000


def ranking(
    gradient: Any, k: int = 15, *, target: int | None = None, title: str | None = None
) -> Figure:
    """Show the features with the largest and the smallest mean gradient.

    The line at the end of a bar is two standard errors to each side.

    Args:
        gradient: a `MeanGradient`.
        k: how many features on each side.
        target: the class, where the gradient has several.
        title: the figure's title.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:
        >>> from keras_explain.linear.mean_gradient import MeanGradient
        >>> gradient = MeanGradient(np.array([2.0, -1.0]), np.array([0.1, 0.1]), np.array(0.0), 9,
        ...                         feature_names=["good", "bad"])
        >>> figure = ranking(gradient, k=1)
        >>> [axes.get_yticklabels()[0].get_text() for axes in figure.axes]
        ['good', 'bad']
    """
    positive, negative = gradient.top(k, target=target)
    figure = _grid.figure(8.4, 0.24 * k + 1.1, title)
    sides = figure.subplots(1, 2)
    for axes, features, color, name in zip(
        sides, (positive, negative), (_grid.FOR, _grid.AGAINST), ("for", "against"), strict=True
    ):
        means = np.array([f.mean for f in features])
        errors = 2 * np.nan_to_num([f.standard_error for f in features])
        axes.barh(range(len(features)), means, xerr=errors, color=color,
                  error_kw={"lw": 1, "ecolor": _grid.INK})
        axes.set_yticks(range(len(features)), [f.name for f in features], fontsize=8.5,
                        parse_math=False)
        axes.invert_yaxis()
        axes.axvline(0, color=_grid.QUIET, lw=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel(f"mean gradient of the {gradient.score}", fontsize=8.5)
        axes.tick_params(axis="x", labelsize=8)
        _grid.text(axes, name, size=10)
    return figure


def agreement(agreement: Any, *, title: str | None = None) -> Figure:
    """Show the linear model's scores against the network's: one point for each example.

    Examples on which both decide alike are gray, the others red. With several classes a point
    is the score of the class that the network chose.

    Args:
        agreement: an `Agreement`.
        title: the figure's title.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:
        >>> from keras_explain.linear import Agreement
        >>> scores = np.array([[1.0], [-2.0]], "float32")
        >>> figure = agreement(Agreement(1.0, 2, scores, scores))
        >>> figure.axes[0].get_title()
        'agree on 100.0 % of 2, correlation 1.000'
    """
    linear, own = agreement.linear_scores, agreement.model_scores
    rows = np.arange(len(own))
    chosen = own.argmax(axis=1) if own.shape[1] > 1 else np.zeros(len(own), int)
    step = max(1, len(own) // _MOST_POINTS)
    x, y, same = linear[rows, chosen][::step], own[rows, chosen][::step], agreement.agrees[::step]
    figure = _grid.figure(5, 4.6, title)
    axes = figure.subplots()
    for kept, color, name in ((same, _grid.FAINT, "same decision"),
                               (~same, _grid.FOR, "other decision")):
        axes.scatter(x[kept], y[kept], s=6, alpha=0.5, color=color, label=name, linewidths=0)
    if own.shape[1] == 1:
        axes.axhline(agreement.threshold, color=_grid.QUIET, lw=0.8)
        axes.axvline(agreement.threshold, color=_grid.QUIET, lw=0.8)
    axes.set_xlabel("linear model of the mean gradient", fontsize=9)
    axes.set_ylabel("network", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    _grid.text(axes, f"agree on {100 * agreement.rate:.1f} % of {agreement.count}, correlation"
               f" {agreement.correlation:.3f}", size=10)
    return figure
