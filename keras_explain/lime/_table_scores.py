"""Scores of rows that are given by columns, as a table and its model take them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_explain.graph.table_inputs import ColumnInputs
from keras_explain.lime.predictor import Predictor
from keras_explain.lime.table import Table


class TableScores:
    """From columns to what a predictor makes of these rows.

    Args:
        predictor: a Keras model without `preprocess` gets an array of floats, or the inputs that
            it has for the columns; every other one a table like the data.
        table: whose columns they are.

    Raises:
        ValueError: columns that do not fit the model.
    """

    def __init__(self, predictor: Predictor, table: Table) -> None:
        self.predictor, self._table, self._as_inputs = predictor, table, None
        self._as_floats = predictor.is_keras and predictor.preprocess is None
        if self._as_floats and len(getattr(predictor.model, "inputs", None) or ()) > 1:
            self._as_inputs = ColumnInputs(predictor.model, table.names)
            self._as_floats = False
        if self._as_floats and not table.is_numeric:
            raise ValueError(
                "Expected `preprocess`, from rows to the model's input, because `data` has columns"
                " of text, received None. Pass it, or encode these columns as numbers."
            )
        shape = predictor.input_spec[0]
        if self._as_floats and shape is not None and len(shape) == 2:
            if shape[1] not in (None, len(table.names)):
                raise ValueError(
                    f"Expected data with {shape[1]} columns, which {predictor.name} takes,"
                    f" received {len(table.names)}. Pass the columns that the model was"
                    " trained on, or `preprocess` that makes them."
                )

    def __call__(
        self, columns: Sequence[np.ndarray], predictor: Predictor | None = None,
        batch_size: int = 512,
    ) -> np.ndarray:
        """Scores `(n, classes)` of `(n,)` columns, never more than `batch_size` rows at once."""
        received = []
        for start in range(0, len(columns[0]), batch_size):
            part = [column[start : start + batch_size] for column in columns]
            if self._as_floats:
                batch = np.stack([column.astype(np.float32) for column in part], axis=1)
            elif self._as_inputs is not None:
                batch = self._as_inputs(part)
            else:
                batch = self._table.frame.assemble(part)
            received.append((predictor or self.predictor)(batch, batch_size))
        return np.concatenate(received)


def make_scores(model: Any, table: Table, preprocess: Callable[..., Any] | None) -> TableScores:
    """The `TableScores` of a model, of a callable from rows to scores, or of a `Predictor`."""
    given = isinstance(model, Predictor)
    return TableScores(model if given else Predictor(model, preprocess=preprocess), table)
