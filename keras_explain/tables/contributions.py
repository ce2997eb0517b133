"""Heatmaps of a table as one number for each row and column that the user has."""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_explain import backend
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._given import in_order
from keras_explain.graph.table_inputs import TableInputs
from keras_explain.lime.table import Table
from keras_explain.progress import Verbose
from keras_explain.signatures import Array

_ROWS = 1024  # whose scores are asked for at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Contributions:
    """What each column counts for in each row.

    Args:
        names: of the columns, `(F,)`; one-hot columns that belong together are one.
        values: `(N, F)` objects: numbers, and categories by name.
        weights: float32 `(N, F)`, what the method gave each; in its units.
        scores: float32 `(N,)`, the explained score of each row.
        method: what gave the weights, such as "integrated_gradients".
    """

    names: tuple[str, ...]
    values: np.ndarray
    weights: Array
    scores: Array
    method: str = ""

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, rows: Any) -> "Contributions":
        """Some of the rows, as NumPy takes them."""
        rows = np.atleast_1d(np.arange(len(self))[rows])
        return dataclasses.replace(
            self, values=self.values[rows], weights=self.weights[rows], scores=self.scores[rows])

    @property
    def start(self) -> np.ndarray:
        """`(N,)`: the score without what the columns count for, the baseline's where it adds up."""
        return self.scores - self.weights.sum(axis=1)

    def order(self) -> np.ndarray:
        """Indices of the columns, first those with the largest mean magnitude."""
        return np.argsort(-np.abs(self.weights).mean(axis=0), kind="stable")

    def index(self, column: str | int) -> int:
        """The place of a column, by name or place.

        Raises:
            ValueError: there is none.
        """
        if isinstance(column, str) and column in self.names:
            return self.names.index(column)
        if isinstance(column, (int, np.integer)) and 0 <= column < len(self.names):
            return int(column)
        raise ValueError(
            f"Expected the name or place of a column, received {column!r}. Columns are"
            f" {list(self.names)}.")

    def numbers(self, column: str | int) -> np.ndarray | None:
        """The values of a column as floats `(N,)`; None for categories."""
        values = self.values[:, self.index(column)]
        if any(isinstance(v, str) for v in values):
            return None
        return values.astype("float64")


def contributions(
    explained: keras.Model, data: Any, *, batch_size: int = 32, verbose: Verbose = "auto"
) -> Contributions:
    """Explain the rows of a table by the columns that you have.

    It hands the model its columns, by name where the model has an input for each, and brings what
    the builder gives into one table: texts by name, one-hot columns that belong together as the
    one category that they are.

    Args:
        explained: what a builder returned, such as `integrated_gradients(model, baseline=...)`,
            of a model that takes one array `(N, F)`, or an input for each column.
        data: the rows to explain: a NumPy array, a data frame of pandas or polars, a sparse matrix
            of SciPy, a dict of columns, or a `lime.Table` of one, which also says what the
            columns are called, what is categorical and what belongs together.
        batch_size: rows at a time.
        verbose: "auto", 0 or 1, whether `predict` shows its progress.

    Returns:
        `Contributions`, which `plots.waterfall`, `plots.beeswarm` and `plots.dependence` draw.

    Raises:
        TypeError: `explained` is not what a builder returned.
        ValueError: columns that do not fit the model's inputs; see `Table`.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> explained = kx.integrated_gradients(model, baseline=0.0)
        >>> rows = kx.lime.Table(np.ones((3, 2)), names=["size", "age"])
        >>> found = kx.tables.contributions(explained, rows, verbose=0)
        >>> found.names, found.weights.shape, bool(abs(found.start).max() < 1e-5)
        (('size', 'age'), (3, 2), True)
    """
    if not isinstance(explained, ExplainedModel):
        raise TypeError(
            f"Expected what a builder returned, received {type(explained).__name__}. Call"
            " `integrated_gradients(model, baseline=X_train)` or another builder first.")
    question = explained.explainer.question
    if question.takes_target:
        raise ValueError(
            "Expected a builder with a class or the top class, received target=\"input\". Leave"
            " `target` out, or give it a class.")
    table = data if isinstance(data, Table) else Table(data, bins=None)
    inputs = TableInputs(question.model, table.names)
    x = inputs(table.columns)
    out = explained.predict(x, batch_size=batch_size, verbose=verbose)
    weights = _join(inputs, question, out["heatmap"], len(table.names))
    parts = [part for part in table.parts if not np.isnan(weights[0, list(part.columns)]).any()]
    rows = [[column[i] for column in table.columns] for i in range(len(table))]
    values = np.empty((len(table), len(parts)), object)
    for i, row in enumerate(rows):
        values[i] = [table.value(part, row) for part in parts]
    return Contributions(
        tuple(part.name for part in parts), values,
        np.stack([weights[:, list(part.columns)].sum(axis=1) for part in parts], axis=1),
        _find_scores(question, x), explained.explainer.name)


def _join(inputs, question, heatmap, count):
    """Heatmaps as one array (N, F), NaN for columns that are not explained."""
    if len(question.explained) == 1:
        maps = [heatmap]
    else:
        maps = list(heatmap.values()) if isinstance(heatmap, dict) else list(heatmap)
    joined = np.full((len(maps[0]), count), np.nan, "float32")
    for value, found in zip(question.explained, maps, strict=True):
        places = inputs.places_of(question.index(value))
        joined[:, places] = np.reshape(found, (len(joined), len(places)))
    return joined


def _find_scores(question, x):
    """The explained score of each row."""
    arrays = in_order(x, question.model.inputs)
    count = len(arrays[0])
    step = count if isinstance(question.target, tuple) else _ROWS
    found = []
    for start in range(0, count, step):
        given = [a[start : start + step] for a in arrays]
        given = [ops.convert_to_tensor(a.tolist() if a.dtype == object else a.astype(v.spec.dtype))
                 for a, v in zip(given, question.program.inputs, strict=True)]
        with backend.no_gradient():
            scores = question.scores(*question.program(given))
            own = ops.sum(scores * question.choose_class(scores, None), axis=-1)
        found.append(ops.convert_to_numpy(own).astype("float32"))
    return np.concatenate(found)
