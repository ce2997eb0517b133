"""Counterfactual rows: the nearest change of a row that changes the answer."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_explain.checks import check_positive
from keras_explain.lime._table_scores import make_scores
from keras_explain.lime.table import Table
from keras_explain.tables._nearest import Nearest, Space


@dataclasses.dataclass(frozen=True, eq=False)
class Counterfactual:
    """A row near another one that gets another answer.

    Args:
        row: the value of each column, by name.
        changes: what differs, by name of the feature: `(before, after)`.
        distance: the root of the sum of squares of what changed: numbers in standard deviations
            of their column, a category counts 1.
        scores: of the changed row, `(classes,)`.
    """

    row: dict[str, Any]
    changes: dict[str, tuple[Any, Any]]
    distance: float
    scores: np.ndarray

    def __str__(self) -> str:
        changed = [f"{name}: {_shorten(before)} -> {_shorten(after)}"
                   for name, (before, after) in self.changes.items()]
        return f"{', '.join(changed)} (distance {self.distance:.3g})"


def counterfactuals(
    model: Any, data: Any, x: Any, *, target: int | Callable[..., Any] | None = None,
    count: int = 3, frozen: Sequence[str] = (), increasing: Sequence[str] = (),
    decreasing: Sequence[str] = (), preprocess: Callable[..., Any] | None = None,
    batch_size: int = 512,
) -> list[Counterfactual]:
    """Find what would have to be different in a row for another answer.

    From rows of the table that have the wished answer it walks to the boundary near `x`, and along
    the boundary to its nearest point, by slopes where the model has any; then it takes back every
    change that is not needed. Of a linear model it is the exact nearest point. Numbers stay within
    those of the table and half of their range beyond. Further rows must do without the largest
    change of those before, so that they differ in kind. What would change the model's answer need
    not change the world.

    Reference: Wachter, Mittelstadt and Russell 2017, "Counterfactual explanations without opening
    the black box", https://arxiv.org/abs/1711.00399; Mothilal, Sharma and Tan 2020 on diverse
    ones, https://arxiv.org/abs/1905.07697.

    Args:
        model: a Keras model of rows or of an input for each column, a callable from rows to
            scores `(N,)` or `(N, classes)`, or a `lime.Predictor`.
        data: a table of examples, see `lime.Table`; or a `Table`, whose one-hot groups change
            together and whose categories are those that occur.
        x: one row.
        target: the wished class; None: any other than that of `x`. Or a callable from scores
            `(N, classes)` to numbers `(N,)` that are above 0 where the answer is the wished one,
            as needed for a single score that is no class: `lambda scores: 100 - scores[:, 0]`.
        count: how many to find at most.
        frozen: names of columns or groups that cannot change.
        increasing: names of columns of numbers that can only grow, such as the age.
        decreasing: those that can only fall.
        preprocess: from a batch of rows like `data` to the model's input.
        batch_size: the largest number of rows that the model sees at once.

    Returns:
        A list of `Counterfactual`, the nearest first; shorter than `count` where there are no more.

    Raises:
        ValueError: `x` has the wished answer already, no row of `data` can lead to it, or unknown
            columns.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(200, 2))
        >>> table = Table(rows, ["size", "age"])
        >>> over = lambda scores: scores[:, 0] - 1.0
        >>> found = counterfactuals(lambda rows: rows[:, 0], table, [0.0, 0.0], target=over)
        >>> list(found[0].changes), round(float(found[0].row["size"]), 3)
        (['size'], 1.0)
    """
    table = data if isinstance(data, Table) else Table(data, bins=None)
    count = check_positive("count", count)
    ask = make_scores(model, table, preprocess)
    row = table.check_row(x)
    own = ask([np.array([v], object if isinstance(v, str) else None) for v in row])
    margin = _make_margin(target, own)
    if margin(own)[0] > 0:
        raise ValueError(
            f"Expected a row whose answer is not yet the wished one, received scores"
            f" {np.round(own[0], 4).tolist()}. Choose another `target`.")
    space = Space(table, row, frozen, increasing, decreasing)
    find = Nearest(space, lambda columns: margin(ask(columns, batch_size=batch_size)))
    found = []
    blocked = set()
    while len(found) < count:
        nearest = find(blocked)
        if nearest is None:
            break
        found.append(_describe(table, row, nearest, space, ask))
        blocked.add(space.largest_change(nearest))
    if not found:
        raise ValueError(
            "Expected rows in `data` that lead to the wished answer, received none within what may"
            " change. Freeze fewer columns, give more rows, or choose another `target`.")
    return sorted(found, key=lambda one: one.distance)


def _make_margin(target, own):
    """From scores to what is above 0 where the answer is the wished one."""
    if callable(target):
        return lambda scores: np.reshape(target(scores), (len(scores),)).astype("float64")
    if own.shape[1] == 1:
        raise ValueError(
            "Expected a callable `target`, because the model's only score is a number, received"
            f" {target!r}. Give what is above 0 where the answer is the wished one:"
            " target=lambda scores: scores[:, 0] - 100.")
    if target is not None and not 0 <= target < own.shape[1]:
        raise ValueError(f"Expected `target` to be from 0 to {own.shape[1] - 1}, received"
                         f" {target!r}. Count classes from 0.")
    top = int(own[0].argmax())

    def margin(scores):
        scores = np.asarray(scores, "float64")
        if target is None:
            return np.delete(scores, top, axis=1).max(axis=1) - scores[:, top]
        return scores[:, target] - np.delete(scores, target, axis=1).max(axis=1)

    return margin


def _describe(table, row, found, space, ask):
    columns = space.columns(found.numbers[None], found.sources[None])
    after = [column[0] for column in columns]
    changes = {
        part.name: (table.value(part, row), table.value(part, after)) for part in table.parts
        if any(row[c] != after[c] for c in part.columns)}
    shown = {name: v.item() if isinstance(v, np.generic) else v
             for name, v in zip(table.names, after, strict=True)}
    return Counterfactual(shown, changes, found.distance, ask(columns)[0])


def _shorten(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
