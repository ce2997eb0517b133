"""Accumulated local effects: how the score follows a column, others being what they are."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_explain.checks import check_integer
from keras_explain.lime._table_scores import make_scores
from keras_explain.lime.table import Table
from keras_explain.signatures import Array


@dataclasses.dataclass(frozen=True, eq=False)
class AccumulatedEffects:
    """The effect of a column on the score, against its values.

    Args:
        name: of the column.
        edges: `(K + 1,)`, values of the column.
        effects: `(K + 1,)`, what the score is there above its mean over the data.
        counts: `(K,)`, rows between two edges.
        values: `(N,)`, the column.
    """

    name: str
    edges: Array
    effects: Array
    counts: Array
    values: Array


def accumulated_effects(
    model: Any, data: Any, column: str | int, *, target: int | None = None,
    preprocess: Callable[..., Any] | None = None, bins: int = 20, batch_size: int = 512,
) -> AccumulatedEffects:
    """Add up what the score gains from one end of each bin of a column to the other.

    Rows are moved within their own bin only, so that no impossible rows are asked about where
    columns go together, as partial dependence does: of a score `a * x + b * z` the effect of `x`
    is `a * x`, however close `x` and `z` are.

    Reference: Apley and Zhu 2020, "Visualizing the effects of predictor variables in black box
    supervised learning models", https://arxiv.org/abs/1612.08468.

    Args:
        model: a Keras model of rows or of an input for each column, a callable from rows to
            scores `(N,)` or `(N, classes)`, or a `lime.Predictor`.
        data: a table, see `lime.Table`; or a `Table`.
        column: a column of numbers, by name or place.
        target: the class. None: the only score, or of two classes the second.
        preprocess: from a batch of rows like `data` to the model's input.
        bins: how many, with equally many rows each.
        batch_size: the largest number of rows that the model sees at once.

    Returns:
        `AccumulatedEffects`; `plots.effects` draws it.

    Raises:
        ValueError: a column of categories or of one value, or no `target` for several classes.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(500, 2))
        >>> found = accumulated_effects(lambda rows: 3.0 * rows[:, 0] + 1.0, rows, "0")
        >>> slope = np.diff(found.effects) / np.diff(found.edges)
        >>> bool(np.allclose(slope, 3.0))
        True
    """
    table = data if isinstance(data, Table) else Table(data, bins=None)
    bins = check_integer("bins", bins, 1, "20 are usual.")
    names = [part.name for part in table.parts]
    place = names.index(column) if column in names else column
    if isinstance(place, str) or not 0 <= place < len(names):
        raise ValueError(f"Expected the name or place of a column, received {column!r}. Columns are"
                         f" {names}.")
    part = table.parts[place]
    values = table.columns[part.columns[0]]
    if len(part.columns) > 1 or values.dtype.kind not in "iuf" or (
            part.codes is not None and part.edges is None):
        raise ValueError(
            f"Expected a column of numbers, received {part.name!r}, which has categories without"
            " an order. Draw `plots.dependence` of `contributions` for it.")
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))
    if len(edges) < 2:
        raise ValueError(f"Expected a column with different values, received {part.name!r}, which"
                         f" is {values[0]} everywhere. It has no effect.")
    which = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, len(edges) - 2)
    ask = make_scores(model, table, preprocess)

    def score(moved):
        columns = list(table.columns)
        columns[part.columns[0]] = moved
        return _choose(ask(columns, batch_size=batch_size), target)

    gains = score(edges[which + 1]).astype("float64") - score(edges[which])
    counts = np.bincount(which, minlength=len(edges) - 1)
    steps = np.bincount(which, gains, len(edges) - 1) / np.maximum(counts, 1)
    effects = np.concatenate([[0.0], np.cumsum(steps)])
    middles = (effects[1:] + effects[:-1]) / 2
    return AccumulatedEffects(
        part.name, edges, effects - (middles * counts).sum() / len(values), counts, values)


def _choose(scores, target):
    count = scores.shape[1]
    if target is None and count > 2:
        raise ValueError(f"Expected `target`, because the model has {count} scores, received None."
                         " Give a class from 0.")
    target = count - 1 if target is None else target
    if not 0 <= target < count:
        raise ValueError(f"Expected `target` to be from 0 to {count - 1}, received {target}."
                         " Count classes from 0.")
    return scores[:, target]
