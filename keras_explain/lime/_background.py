"""The rows over which KernelSHAP averages the features of a table that are out."""

from typing import Any, NamedTuple

import numpy as np

_ROWS = 100  # of larger tables, drawn at random
_WORTHWHILE = 0.9  # the share of distinct rows up to which they are looked for


class Background(NamedTuple):
    """Rows of a table and how much each counts.

    Args:
        rows: `(B,)` indices into the table.
        weights: `(B,)`, with a sum of 1.
    """

    rows: np.ndarray
    weights: np.ndarray


def draw_background(table: Any, seed: int) -> Background:
    """All rows of a small table, or some at random."""
    rows = np.arange(len(table))
    if len(table) > _ROWS:
        rng = np.random.default_rng([seed, 1])
        rows = np.sort(rng.choice(rows, _ROWS, replace=False))
    return Background(rows, np.full(len(rows), 1 / len(rows)))


def summarize_background(table: Any, count: int) -> Background:
    """The rows nearest to the centers of `count` clusters, each as heavy as its cluster.

    The clusters are those of k-means over standardized columns and coded categories.
    """
    from sklearn.cluster import KMeans

    points = np.concatenate([_place(table, part) for part in table.parts], axis=1)
    count = min(count, len(np.unique(points, axis=0)))
    clusters = KMeans(count, n_init=1, random_state=0).fit(points)
    rows = clusters.transform(points).argmin(axis=0)
    return Background(rows, np.bincount(clusters.labels_, minlength=count) / len(table))


def _place(table, part):
    """Coordinates `(n, d)`; two categories are as far apart as values a deviation apart."""
    numbers = table.columns[part.columns[0]]
    if part.codes is None or part.edges is not None:
        numbers = numbers.astype(float)
        return ((numbers - numbers.mean()) / (numbers.std() or 1.0))[:, None]
    return np.eye(part.codes.max() + 1)[part.codes] / np.sqrt(2)


class DistinctRows:
    """Which rows of a batch are different, as long as some are the same.

    Args:
        columns: the background's columns, `(B,)` each.
        row: the explained row's values.
    """

    def __init__(self, columns: list[np.ndarray], row: list[Any]) -> None:
        self._worthwhile = True
        rng = np.random.default_rng(0)
        keys = np.array([_draw_keys([*column.tolist(), value], column.dtype.kind == "O", rng)
                         for column, value in zip(columns, row, strict=True)])
        self._out, self._kept = keys[:, :-1], keys[:, -1]

    def find(self, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the distinct rows, and for each row which of them it is.

        Args:
            keep: `(N, F)`, which columns are the explained row's in `B` rows each.
        """
        count = len(keep) * self._out.shape[1]
        if self._worthwhile:
            keep = keep.astype(np.uint64)
            keys = (keep @ self._kept)[:, None] + (1 - keep) @ self._out
            _, first, which = np.unique(keys, return_index=True, return_inverse=True)
            self._worthwhile = len(first) <= _WORTHWHILE * count
            if self._worthwhile:
                return first, which.ravel()
        return np.arange(count), np.arange(count)


def _draw_keys(values, are_objects, rng):
    """64 random bits for each different value; two rows share a sum once in 2 ** 64."""
    if are_objects:  # a model may tell 1 from True
        values = [(type(value), value) for value in values]
    codes = {}
    codes = [codes.setdefault(value, len(codes)) for value in values]
    return rng.integers(0, 2**64, len(codes), np.uint64)[codes]
