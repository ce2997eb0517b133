"""Tables: one row as a sum of its columns, all rows, and a column against its values."""

from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from keras_explain.plots import _grid

_VALUES = LinearSegmentedColormap.from_list("values", ["#3b7dd8", "#9a9a9a", "#d1495b"])


def waterfall(
    contributions: Any, row: int = 0, *, k: int = 10, title: str | None = None
) -> Figure:
    """Show how one row gets its score: from the baseline's, column by column.

    Each bar begins where the last one ends; red raises the score, blue lowers it. The lowest
    starts at the score without any column: the baseline's, for methods whose numbers add up.

    Args:
        contributions: `Contributions` of a table.
        row: which of its rows.
        k: how many columns get a bar of their own; the others share one.
        title: above the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: a row that is not there.

    Example:
        >>> from keras_explain.tables import Contributions
        >>> found = Contributions(("age", "job"), np.array([[30, "nurse"]], object),
        ...                       np.array([[1.0, -0.5]]), np.array([2.0]))
        >>> figure = waterfall(found)
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['age = 30', 'job = nurse']
    """
    if not -len(contributions) <= row < len(contributions):
        raise ValueError(
            f"Expected `row` to be from 0 to {len(contributions) - 1}, received {row}. Rows are"
            " counted from 0.")
    weights = np.asarray(contributions.weights[row], "float64")
    start, score = float(contributions.start[row]), float(contributions.scores[row])
    order = np.argsort(-np.abs(weights), kind="stable")
    shown, rest = order[:k], order[k:]
    names = [f"{contributions.names[i]} = {_shorten(contributions.values[row, i])}" for i in shown]
    steps = list(weights[shown])
    if len(rest):
        names.append(f"{len(rest)} other columns")
        steps.append(weights[rest].sum())
    figure = _grid.figure(7.2, 0.36 * len(steps) + 1.3, title)
    axes = figure.subplots()
    ends = score - np.concatenate([[0.0], np.cumsum(steps)])  # from the score back to the start
    for y, (step, end) in enumerate(zip(steps, ends[:-1], strict=True)):
        color = _grid.FOR if step > 0 else _grid.AGAINST
        axes.barh(y, step, left=end - step, color=color, height=0.72)
        axes.plot([end - step] * 2, [y + 0.36, y + 1.0], color=_grid.FAINT, lw=0.8)
        axes.annotate(f"{step:+.3g}", (max(end, end - step), y), (4, 0),
                      textcoords="offset points", va="center", fontsize=8.5, color=_grid.INK)
    axes.set_yticks(range(len(names)), names, fontsize=9, parse_math=False)
    axes.invert_yaxis()
    axes.axvline(start, color=_grid.FAINT, lw=0.8, ls=":")
    low, high = min(ends.min(), start), max(ends.max(), start)
    room = (high - low) or 1.0
    axes.set_xlim(low - 0.05 * room, high + 0.16 * room)
    _finish(axes, f"score: from {start:.3g} without the columns to {score:.3g}")
    return figure


def beeswarm(
    contributions: Any, *, k: int = 10, title: str | None = None
) -> Figure:
    """Show every row of every column: what a column counts for, and with which values.

    A point is a row; points that would lie on each other are spread upward and downward. Blue
    points have low values of their column, red ones high values; categories are gray. Columns
    come in the order of their mean magnitude.

    Args:
        contributions: `Contributions` of a table.
        k: how many columns to show.
        title: above the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:
        >>> from keras_explain.tables import Contributions
        >>> found = Contributions(("age", "size"), np.array([[30, 1.0], [60, 2.0]], object),
        ...                       np.array([[1.0, -0.5], [2.0, 0.5]]), np.array([2.0, 3.0]))
        >>> [label.get_text() for label in beeswarm(found).axes[0].get_yticklabels()]
        ['age', 'size']
    """
    order = contributions.order()[:k]
    figure = _grid.figure(7.6, 0.42 * len(order) + 1.2, title)
    axes = figure.subplots()
    low, high = _range(contributions.weights[:, order])
    for y, column in enumerate(order):
        weights = np.asarray(contributions.weights[:, column], "float64")
        numbers = contributions.numbers(int(column))
        colors = np.full(len(weights), _grid.FAINT, object) if numbers is None else (
            _VALUES(_ranks(numbers)))
        axes.scatter(weights, y + _spread(weights, high - low), s=9, c=list(colors), linewidths=0)
    axes.set_yticks(range(len(order)), [contributions.names[i] for i in order], fontsize=9,
                    parse_math=False)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.axvline(0, color=_grid.QUIET, lw=0.8)
    _finish(axes, "what the column counts for in the score")
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), _VALUES), ax=axes, pad=0.01, aspect=30)
    bar.set_ticks([0, 1], labels=["low", "high"], fontsize=8, color=_grid.QUIET)
    bar.set_label("value of the column", fontsize=8.5, color=_grid.QUIET)
    bar.outline.set_visible(False)
    return figure


def dependence(
    contributions: Any, column: str | int, *, color: str | int | None = None,
    title: str | None = None,
) -> Figure:
    """Show what a column counts for against its values: the shape of its effect.

    Where points of one value differ, another column decides: give it as `color`.

    Args:
        contributions: `Contributions` of a table.
        column: name or place.
        color: a column of numbers whose value colors the points.
        title: above the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: a column that is not there, or categories as `color`.

    Example:
        >>> from keras_explain.tables import Contributions
        >>> found = Contributions(("age",), np.array([[30], [60]], object),
        ...                       np.array([[1.0], [2.0]]), np.array([2.0, 3.0]))
        >>> dependence(found, "age").axes[0].get_xlabel()
        'age'
    """
    place = contributions.index(column)
    weights, numbers = contributions.weights[:, place], contributions.numbers(place)
    figure = _grid.figure(6.2, 4.2, title)
    axes = figure.subplots()
    colors = _grid.AGAINST
    if color is not None:
        shade = contributions.numbers(color)
        name = contributions.names[contributions.index(color)]
        if shade is None:
            raise ValueError(f"Expected `color` to be a column of numbers, received {color!r},"
                             " which has categories. Color by another column.")
        scale = Normalize(*np.percentile(shade, [2, 98]))
        colors = _VALUES(scale(shade))
        bar = figure.colorbar(ScalarMappable(scale, _VALUES), ax=axes, pad=0.01, aspect=30)
        bar.set_label(_grid.escape_dollars(name), fontsize=9)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)
    if numbers is None:
        kinds = sorted(set(map(str, contributions.values[:, place])))
        at = np.array([kinds.index(str(v)) for v in contributions.values[:, place]], "float64")
        numbers = at + _spread(np.asarray(weights, "float64"), float(np.ptp(weights)) or 1.0)
        axes.set_xticks(range(len(kinds)), kinds, fontsize=9, parse_math=False)
    axes.scatter(numbers, weights, s=14, c=colors, linewidths=0, alpha=0.8)
    axes.axhline(0, color=_grid.QUIET, lw=0.8)
    _finish(axes, contributions.names[place])
    axes.set_ylabel("what it counts for", fontsize=9)
    return figure


def _finish(axes, label):
    axes.set_xlabel(_grid.escape_dollars(label), fontsize=9)
    axes.tick_params(labelsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)


def _ranks(numbers):
    """The share of smaller numbers, 0 to 1: outliers do not wash the others out."""
    _, codes, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    low, high = middle[0], middle[-1]
    return (middle[codes] - low) / (high - low) if high > low else np.full(len(numbers), 0.5)


def _spread(weights, width, bins=60, most=0.36):
    """How far from their line points are moved, so that those of one place lie side by side."""
    places = np.round((weights - weights.min()) / (width or 1.0) * bins).astype(int)
    order = np.argsort(places, kind="stable")
    first = np.searchsorted(places[order], places[order])
    turn = np.arange(len(weights)) - first  # 0, 1, 2, ... within a place
    counts = np.bincount(places)
    sign = np.where(turn % 2, 1.0, -1.0)
    moved = np.empty(len(weights))
    moved[order] = sign * ((turn + 1) // 2) / max(counts.max() / 2, 6.0) * most
    return moved


def _range(weights):
    low, high = float(weights.min()), float(weights.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _shorten(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def importance(found: Any, *, k: int = 15, title: str | None = None) -> Figure:
    """Show which columns a model needs: by how much its loss rises without each.

    The line at the end of a bar is its interval of 95 %; gray bars cannot be told from 0.

    Args:
        found: a `PermutationImportance`.
        k: how many columns to show.
        title: above the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:
        >>> from keras_explain.tables import PermutationImportance
        >>> found = PermutationImportance(("a", "b"), np.array([0.1, 2.0]), np.ones(2) / 10, 0.5)
        >>> [label.get_text() for label in importance(found).axes[0].get_yticklabels()]
        ['b', 'a']
    """
    order = found.order()[:k]
    figure = _grid.figure(6.4, 0.32 * len(order) + 1.2, title)
    axes = figure.subplots()
    colors = [_grid.FAINT if low <= 0 else _grid.FOR for low in found.intervals[order, 0]]
    axes.barh(range(len(order)), found.means[order], xerr=1.96 * found.errors[order], color=colors,
              error_kw={"lw": 1, "ecolor": _grid.INK})
    axes.set_yticks(range(len(order)), [found.names[i] for i in order], fontsize=9,
                    parse_math=False)
    axes.invert_yaxis()
    axes.axvline(0, color=_grid.QUIET, lw=0.8)
    _finish(axes, f"rise of the loss, which is {found.loss:.3g}")
    return figure


def effects(found: Any, *, title: str | None = None) -> Figure:
    """Show how the score follows a column; the ticks at the bottom are the rows.

    Args:
        found: `AccumulatedEffects`.
        title: above the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:
        >>> from keras_explain.tables import AccumulatedEffects
        >>> found = AccumulatedEffects("age", np.array([20, 60]), np.array([-1, 1]),
        ...                            np.array([9]), np.array([20, 40, 60]))
        >>> effects(found).axes[0].get_xlabel()
        'age'
    """
    figure = _grid.figure(6.2, 4.0, title)
    axes = figure.subplots()
    axes.plot(found.edges, found.effects, color=_grid.FOR, lw=1.8, marker="o", ms=3)
    axes.plot(found.values, np.zeros(len(found.values)), "|", color=_grid.QUIET, ms=8, alpha=0.4,
              transform=axes.get_xaxis_transform(), clip_on=False)
    axes.axhline(0, color=_grid.QUIET, lw=0.8)
    _finish(axes, found.name)
    axes.set_ylabel("score above its mean", fontsize=9)
    return figure
