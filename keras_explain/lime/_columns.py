"""The columns of a table with bins, and with names for their codes."""

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
    unknown = [v for v in dict.fromkeys(column.tolist()) if v not in labels]
    if unknown:
        named = [str(name) for name in labels.values()]
        raise ValueError(
            f"Expected the codes {list(labels)} for the names {named}, received the codes"
            f" {unknown[:5]} in `data`. Pass a dict from each code to its name."
        )
    return {code: str(name) for code, name in labels.items()}


def shorten(value: Any) -> str:
    """A value in a few characters."""
    return f"{value:.4g}" if isinstance(value, (float, np.floating)) else str(value)
