"""The columns of a table as what a model takes: one input for all, or one for each."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_explain.graph.models import symbolic_inputs


class ColumnInputs:
    """The columns of a table as the inputs of a Keras model that has one for each.

    Args:
        model: the model.
        names: of the table's columns.

    Raises:
        ValueError: an input that takes several numbers, or without a column of its name.

    Attributes:
        flat_places: which column each of the model's flat inputs takes.
    """

    def __init__(self, model: keras.Model, names: Sequence[str]) -> None:
        self._inputs = symbolic_inputs(model)
        leaves = tree.flatten(self._inputs)
        keys = list(self._inputs) if isinstance(self._inputs, dict) else [v.name for v in leaves]
        if isinstance(self._inputs, dict):
            leaves = list(self._inputs.values())
        wide = [key for key, leaf in zip(keys, leaves, strict=True)
                if tuple(leaf.shape[1:]) not in ((), (1,))]
        if wide or not set(map(str, keys)) <= set(names):
            raise ValueError(
                f"Expected a column of `data` for each of the inputs {keys} of {model.name!r},"
                f" received {list(names)}"
                f"{f' for the inputs {wide} of several numbers' if wide else ''}. Give the columns"
                " the names of the inputs, or pass `preprocess`, from rows to the model's inputs."
            )
        self._places = [names.index(str(key)) for key in keys]
        self._keys, self._leaves = keys, leaves
        order = {id(leaf): place for leaf, place in zip(leaves, self._places, strict=True)}
        self.flat_places = [order[id(leaf)] for leaf in tree.flatten(self._inputs)]

    def __call__(self, columns: Sequence[np.ndarray]) -> Any:
        """The model's inputs of `(n,)` columns."""
        made = [_to_input(columns[place], leaf)
                for place, leaf in zip(self._places, self._leaves, strict=True)]
        if isinstance(self._inputs, dict):
            return dict(zip(self._keys, made, strict=True))
        return tree.pack_sequence_as(self._inputs, made)


def _to_input(column, leaf):
    column = column.astype(object if leaf.dtype == "string" else leaf.dtype)
    return np.reshape(column, (-1, *leaf.shape[1:]))


class TableInputs:
    """The columns of a table as one array `(n, F)` or, where the model has several, as inputs.

    Args:
        model: the model.
        names: of the table's columns.

    Raises:
        ValueError: another number of columns than the model takes; see `ColumnInputs`.
    """

    def __init__(self, model: keras.Model, names: Sequence[str]) -> None:
        leaves = tree.flatten(symbolic_inputs(model))
        shape = tuple(leaves[0].shape[1:])
        self._several = ColumnInputs(model, names) if len(leaves) > 1 else None
        self._dtype, self._count = leaves[0].dtype, len(names)
        if self._several is None and (len(shape) != 1 or shape[0] not in (None, len(names))):
            raise ValueError(
                f"Expected a model of rows of {len(names)} columns, received {model.name!r}, which"
                f" takes inputs of shape {(None, *shape)}. Give the columns that it was trained"
                " on, in their order."
            )

    def __call__(self, columns: Sequence[np.ndarray]) -> Any:
        """The model's inputs of `(n,)` columns."""
        if self._several is not None:
            return self._several(columns)
        return np.stack([column.astype(self._dtype) for column in columns], axis=1)

    def places_of(self, index: int) -> list[int]:
        """Which columns the model's flat input `index` takes."""
        if self._several is None:
            return list(range(self._count))
        return [self._several.flat_places[index]]
