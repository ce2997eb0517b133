"""Tables of any library as named columns, and back: NumPy, pandas, polars, SciPy, dicts."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_explain.data.columns import Column, read_column


class Frame(NamedTuple):
    """A table as its columns.

    Args:
        names: of the columns, as text.
        labels: of the columns, as the table has them.
        columns: one `Column` each.
        categorical: labels of the columns that the table itself calls categories.
        build: from a list of columns `(n,)`, as `Column.restore` gives them, to such a table.
        is_named: whether the names are the table's own.
    """

    names: tuple[str, ...]
    labels: tuple[Any, ...]
    columns: tuple[Column, ...]
    categorical: tuple[Any, ...]
    build: Callable[[list[Any]], Any]
    is_named: bool

    def assemble(self, columns: Sequence[np.ndarray]) -> Any:
        """Numbers and objects `(n,)` of each column to a table like the one that was read."""
        return self.build([c.restore(v) for c, v in zip(self.columns, columns, strict=True)])


def read_frame(data: Any, names: Sequence[str] | None = None) -> Frame:
    """The `Frame` of a table.

    Args:
        data: a NumPy array `(n, F)`, a data frame of pandas or polars, a sparse matrix of SciPy,
            or a dict from names to columns `(n,)`.
        names: of the columns, where `data` has none.

    Raises:
        TypeError: `data` is not a table.
        ValueError: names that are not one for each column.
    """
    data = data.collect() if hasattr(data, "collect") and hasattr(data, "lazy") else data
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        frame = _read_pandas(data)
    elif hasattr(data, "get_columns"):
        frame = _read_polars(data)
    elif isinstance(data, Mapping) and data:
        frame = _read_dict(data)
    else:
        frame = _read_array(data, names)
    if len(set(frame.names)) < len(frame.columns) or len(frame.names) != len(frame.columns):
        raise ValueError(
            f"Expected {len(frame.columns)} different names of columns, received {frame.names}."
            " Name each column once."
        )
    lengths = {len(column.values) for column in frame.columns}
    if len(lengths) > 1:
        raise ValueError(
            f"Expected columns of one length in `data`, received lengths {sorted(lengths)}."
            " Give every column as many rows, in one order."
        )
    return frame


def _read_pandas(data):
    labels = tuple(data.columns)
    series = [data.iloc[:, i] for i in range(len(labels))]
    categorical = tuple(
        label for label, dtype in zip(labels, data.dtypes, strict=True)
        if getattr(dtype, "name", "") == "category")
    build = functools.partial(
        _build_pandas, kind=type(data), labels=data.columns, dtypes=tuple(data.dtypes))
    columns = tuple(read_column(s.to_numpy(), s) for s in series)
    return _make(labels, columns, categorical, build)


def _build_pandas(made, kind, labels, dtypes):
    frame = kind(dict(enumerate(made)))
    changed = {
        i: dtype for i, dtype in enumerate(dtypes)
        if not (frame[i].dtype.kind == "f" and getattr(dtype, "kind", "") in "iu")}
    frame = frame.astype(changed)
    frame.columns = labels
    return frame


def _read_polars(data):
    schema = dict(data.schema)
    categorical = tuple(
        name for name, dtype in schema.items() if str(dtype).startswith(("Categorical", "Enum")))
    columns = tuple(read_column(series.to_numpy()) for series in data.get_columns())
    build = functools.partial(_build_polars, kind=type(data), schema=schema)
    return _make(tuple(schema), columns, categorical, build)


def _build_polars(made, kind, schema):
    frame = kind(dict(zip(schema, made, strict=True)))
    return frame.cast({
        name: dtype for name, dtype in schema.items()
        if not (dtype.is_integer() and frame.schema[name].is_float())})


def _read_dict(data):
    columns = tuple(read_column(_flatten(name, values)) for name, values in data.items())
    ranks = {name: np.ndim(values) for name, values in data.items()}
    return _make(tuple(data), columns, (), functools.partial(_build_dict, ranks=ranks))


def _build_dict(made, ranks):
    return {name: column[:, None] if ranks[name] == 2 else column
            for name, column in zip(ranks, made, strict=True)}


def _read_array(data, names):
    array = data.toarray() if hasattr(data, "toarray") else np.asarray(data)
    if array.ndim != 2 or not array.size:
        raise TypeError(
            "Expected `data` to be a table (rows, columns), received"
            f" {type(data).__name__} of shape {array.shape}. Pass a NumPy array, a data frame of"
            " pandas or polars, a sparse matrix, or a dict of columns."
        )
    build = functools.partial(
        _build_array, dtype=array.dtype, kind=type(data) if hasattr(data, "toarray") else None)
    labels = tuple(range(array.shape[1]) if names is None else names)
    return _make(labels, tuple(map(read_column, array.T)), (), build, names is not None)


def _build_array(made, dtype, kind):
    if dtype.kind in "biu" and any(column.dtype.kind == "f" for column in made):
        dtype = np.dtype(np.float64)
    rows = np.stack([column.astype(dtype) for column in made], axis=1)
    return rows if kind is None else kind(rows)


def _make(labels, columns, categorical, build, is_named=True):
    return Frame(tuple(map(str, labels)), labels, columns, categorical, build, is_named)


def _flatten(name, values):
    values = np.asarray(values)
    if values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    if values.ndim != 1:
        raise ValueError(
            f"Expected the column {name!r} to be one value for each row, received shape"
            f" {values.shape}. Give each of its columns a name of its own."
        )
    return values
