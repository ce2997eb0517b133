"""A table of examples: what its features are and by which values they can be replaced."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_explain.checks import check_integer, is_integer
from keras_explain.data.columns import find_codes, is_missing, repeat
from keras_explain.data.frames import read_frame
from keras_explain.lime._columns import check_labels, find_edges, shorten


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """One feature of a table: a column, or the one-hot columns of a category.

    Args:
        name: the feature's name.
        columns: indices of its columns.
        codes: `(n,)` ints, which value each row of the table has; `None` if it is continuous.
        edges: upper ends of the bins of a numeric column but the last, else `None`.
        labels: from a code to its name, else `None`.
    """

    name: str
    columns: tuple[int, ...]
    codes: np.ndarray | None = None
    edges: np.ndarray | None = None
    labels: Mapping[int, str] | None = None


class Table:
    """Examples from which LIME draws the values of features that are taken out.

    Args:
        data: `(n, F)`: a NumPy array (numbers, or objects with text), a data frame of pandas or
            polars, a sparse matrix of SciPy, or a dict from names to columns `(n,)`.
        names: the columns' names; by default those that `data` has, or "0", "1", ...
        categorical: the columns, by name or index (of a data frame by its own labels), whose
            numbers are codes; or a dict from them to the codes' names: `["red", "green"]` for the
            codes 0 and 1, `{1: "red", 2: "green"}` for others. Columns of text, booleans and
            pandas' categories always are.
        groups: one-hot columns that belong together: `{"color": ["red", "green", "blue"]}`. A
            group is one feature, so no row is ever two colors at once.
        bins: numeric columns are cut at quantiles into so many bins, and what is explained is that
            a value lies in its bin, as in `lime`'s tables. A value that fills more than a bin
            gets one of its own. `None` leaves them continuous: what is
            explained is the effect of one standard deviation.

    Raises:
        TypeError: `data` is not a table.
        ValueError: missing values, unknown or repeated columns, names that do not fit.

    Example:
        >>> table = Table(np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 1.0]]), ["size", "new"], ["new"])
        >>> [part.name for part in table.parts], table.parts[1].codes.tolist()
        (['size', 'new'], [0, 1, 1])
    """

    def __init__(
        self,
        data: Any,
        names: Sequence[str] | None = None,
        categorical: Sequence[Any] | Mapping[Any, Any] = (),
        groups: Mapping[str, Sequence[Any]] | None = None,
        bins: int | None = 4,
    ) -> None:
        self.frame = read_frame(data, names)
        self.names, self._labels = self.frame.names, list(self.frame.labels)
        labels = categorical if isinstance(categorical, Mapping) else dict.fromkeys(categorical)
        labels = {self._index(column): names for column, names in labels.items()}
        for label in self.frame.categorical:
            labels.setdefault(self._index(label), None)
        self.columns = [column.values for column in self.frame.columns]
        self._refuse_missing(self.columns, "`data`")
        self.is_numeric = all(column.dtype.kind in "biuf" for column in self.columns)
        if bins is not None:
            check_integer("bins", bins, 2, "4 makes quartiles, None leaves numbers continuous.")
        self.parts = self._make_parts(labels, groups or {}, bins)

    def __len__(self) -> int:
        return len(self.columns[0])

    def check_row(self, values: Any) -> list[Any]:
        """One row as a list of values, checked: a sequence, a dict, a pandas Series or DataFrame.

        Raises:
            ValueError: another number of columns, or missing values.
        """
        if hasattr(values, "iloc") and hasattr(values, "columns"):
            values = values.iloc[0] if len(values) == 1 else values
        if hasattr(values, "row") and hasattr(values, "get_columns") and len(values) == 1:
            values = values.row(0, named=True)
        values = values.toarray() if hasattr(values, "toarray") else values
        if hasattr(values, "keys") and not hasattr(values, "columns"):
            known = {str(key): values[key] for key in values.keys()}
            known = {k: v.ravel()[0] if np.shape(v) in ((1,), (1, 1)) else v
                     for k, v in known.items() if not isinstance(v, list)}
            if set(known) == set(self.names):
                values = [known[name] for name in self.names]
        flat = list(values) if isinstance(values, (list, tuple)) else list(np.ravel(values))
        shape = np.shape(values)
        if len(flat) != len(self.names) or any(np.ndim(v) for v in flat) or len(shape) > 2:
            raise ValueError(
                f"Expected one row of {len(self.names)} values ({', '.join(self.names[:5])}, ...), "
                f"received shape {shape}. Explain the rows of a table one by one."
            )
        self._refuse_missing([repeat(value, 1).astype(object) for value in flat], "the row")
        flat = [c.encode(v) for c, v in zip(self.frame.columns, flat, strict=True)]
        for name, column, value in zip(self.names, self.columns, flat, strict=True):
            if column.dtype.kind in "iuf" and not isinstance(value, (int, float, np.number)):
                raise ValueError(
                    f"Expected a number for column {name!r}, received {value!r}. Give the row the"
                    " columns' types."
                )
        return flat

    def code(self, part: Part, row: list[Any]) -> int:
        """The code of a row's value; -1 for one that the table does not have."""
        values = [row[column] for column in part.columns]
        if part.edges is not None:
            return int(np.searchsorted(part.edges, values[0], side="left"))
        same = np.all([self.columns[c] == v for c, v in zip(part.columns, values, strict=True)], 0)
        return int(part.codes[np.argmax(same)]) if same.any() else -1

    def alternatives(self, part: Part, row: list[Any]) -> np.ndarray:
        """Indices of the rows that have another value than `row`."""
        return np.flatnonzero(part.codes != self.code(part, row))

    def scale(self, part: Part) -> float:
        """The standard deviation of a continuous part."""
        return float(np.std(self.columns[part.columns[0]]))

    def describe(self, part: Part, row: list[Any], exact: bool = False) -> str:
        """The feature that a weight belongs to: `"28 < age <= 37"`; `exact` for `"age = 35"`."""
        value = self.value(part, row)
        if part.codes is None and not exact:
            return part.name
        if part.edges is None or exact or not len(part.edges):
            return f"{part.name} = {shorten(value)}"
        code, name = self.code(part, row), part.name
        show = self.frame.columns[part.columns[0]].show
        edges = [shorten(show(edge)) for edge in part.edges]
        if code == 0:
            return f"{name} <= {edges[0]}"
        if code == len(edges):
            return f"{name} > {edges[-1]}"
        return f"{edges[code - 1]} < {name} <= {edges[code]}"

    def value(self, part: Part, row: list[Any]) -> Any:
        """The row's value as a plain number or text; of one-hot columns the name of the hot one."""
        values = [row[column] for column in part.columns]
        if len(values) > 1:
            hot = [self.names[c] for c, v in zip(part.columns, values, strict=True) if v]
            return hot[0] if len(hot) == 1 else ", ".join(map(shorten, values))
        value = values[0].item() if isinstance(values[0], np.generic) else values[0]
        if part.labels is not None and value in part.labels:
            return part.labels[value]
        value = self.frame.columns[part.columns[0]].show(value)
        return value if isinstance(value, (int, float, str, bool)) else str(value)

    def _make_parts(self, labels, groups, bins):
        grouped = {}
        for name, columns in groups.items():
            indices = tuple(self._index(column) for column in columns)
            for index in indices:
                if index in grouped:
                    raise ValueError(
                        f"Expected each column in one group, received {self.names[index]!r} twice."
                        " Take it out of the other group."
                    )
                grouped[index] = (str(name), indices)
        parts, done = [], set()
        for index in range(len(self.names)):
            name, indices = grouped.get(index, (self.names[index], (index,)))
            if index not in done:
                parts.append(self._make_part(name, indices, labels, bins))
                done.update(indices)
        return tuple(parts)

    def _make_part(self, name, indices, labels, bins):
        column = self.columns[indices[0]]
        if len(indices) > 1 or indices[0] in labels or column.dtype.kind not in "iuf":
            codes = np.zeros(len(self), int)
            for index in indices:  # one-hot columns: a code for each combination
                one = find_codes(self.columns[index])
                codes = find_codes(codes * (one.max() + 1) + one)
            return Part(name, indices, codes, None, check_labels(labels.get(indices[0]), column))
        if bins is None:
            return Part(name, indices)
        edges = find_edges(column, bins)
        return Part(name, indices, np.searchsorted(edges, column, side="left"), edges)

    def _index(self, column):
        if column in self._labels:
            return self._labels.index(column)
        if isinstance(column, str) and column in self.names:
            return self.names.index(column)
        numbered = any(isinstance(label, (int, np.integer)) for label in self._labels)
        if is_integer(column) and 0 <= column < len(self.names) and not numbered:
            return int(column)
        raise ValueError(
            f"Expected the name or index of a column, received {column!r}. Columns are"
            f" {list(self.names)}."
        )

    def _refuse_missing(self, columns, where):
        missing = [
            name
            for name, column in zip(self.names, columns, strict=True)
            if (column.dtype.kind == "f" and not np.isfinite(column).all())
            or (column.dtype.kind == "O" and any(map(is_missing, column)))
        ]
        if missing:
            raise ValueError(
                f"Expected no missing values, received None, NaN or infinity in columns {missing} "
                f"of {where}. Fill them as for training, or drop those rows."
            )
