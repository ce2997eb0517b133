"""The columns of a table: as arrays, with bins, with names for their codes."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def find_edges(column: np.ndarray, bins: int) -> np.ndarray:
    """Quantiles, and what lies below a value that fills more than a bin or is the largest."""
    quantiles, counts = np.unique(np.quantile(column, np.arange(1, bins) / bins),
                                  return_counts=True)
    largest = column.max()
    heavy = quantiles[(counts > 1) | (quantiles == largest)]
    below = [column[column < value].max() for value in heavy if (column < value).any()]
    edges = np.unique(np.concatenate([quantiles, below]))
    return edges[edges < largest]


def check_labels(names: Any, column: np.ndarray) -> Mapping[Any, str] | None:
    """From each code to its name, or `None` without names."""
    if names is None:
        return None
    labels = dict(names) if isinstance(names, Mapping) else dict(enumerate(names))
    unknown = [v for v in np.unique(column).tolist() if v not in labels]
    if unknown:
        raise ValueError(
            f"Expected the codes {list(labels)} for the names {list(labels.values())}, received"
            f" the codes {unknown[:5]} in `data`. Pass a dict from each code to its name."
        )
    return {code: str(name) for code, name in labels.items()}


def to_column(column: Any) -> np.ndarray:
    """A column of numbers where it can be one (of dates the nanoseconds), else of texts."""
    column = np.asarray(column)
    if column.dtype.kind == "M":
        numbers = column.astype("datetime64[ns]").astype(np.int64)
        return np.where(np.isnat(column), np.nan, numbers) if np.isnat(column).any() else numbers
    if column.dtype.kind in "biuf":
        return column
    values = column.tolist()
    if all(isinstance(v, (bool, int, float)) for v in values) and values:
        return np.asarray(values)
    return np.array([v if is_missing(v) else str(v) for v in values], dtype=object)


def to_date(value: Any) -> Any:
    """Nanoseconds of a date, as they are in a column of dates."""
    if isinstance(value, (int, np.integer)) or is_missing(value):
        return value
    return int(np.datetime64(value, "ns").astype(np.int64))


def is_missing(value: Any) -> bool:
    """None, NaN, NaT or pandas' NA, which is neither equal nor unequal to itself."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def shorten(value: Any) -> str:
    """A value in a few characters."""
    return f"{value:.4g}" if isinstance(value, (float, np.floating)) else str(value)
