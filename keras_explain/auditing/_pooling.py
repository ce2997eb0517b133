"""Heatmaps as shares of a few cells, so that those of different examples can be compared."""

import numpy as np

CELLS = {1: 32, 2: 7, 3: 4}  # along each axis of a map, by its number of axes


def edges(shape):
    """Where the cells of a map begin, for each axis: arrays that end with the axis' size."""
    most = CELLS.get(len(shape), 4)
    return [np.unique(np.linspace(0, n, min(n, most) + 1).round().astype(int)) for n in shape]


def pool(heatmaps):
    """The share of each cell in what speaks for the class.

    Args:
        heatmaps: (N, ...) with one to three axes of places.

    Returns:
        Shares (N, cells) that sum to 1, and zero where nothing speaks for the class.
    """
    maps = np.maximum(np.nan_to_num(heatmaps, posinf=0.0), 0)
    for axis, places in enumerate(edges(maps.shape[1:]), start=1):
        maps = np.add.reduceat(maps, places[:-1], axis=axis)
    maps = maps.reshape(len(maps), -1)
    total = maps.sum(axis=1, keepdims=True)
    return np.divide(maps, total, out=np.zeros_like(maps), where=total > 0)


def spread(cells, shape):
    """Values of cells (cells,) over the places of a map of `shape`."""
    places = edges(shape)
    values = np.reshape(cells, [len(p) - 1 for p in places])
    for axis, begin in enumerate(places):
        values = np.repeat(values, np.diff(begin), axis=axis)
    return values


def hottest(share, part=0.5):
    """The fewest cells that hold `part` of a mean share: a bool for each."""
    order = np.argsort(-share, kind="stable")
    count = int(np.searchsorted(np.cumsum(share[order]), part * share.sum())) + 1
    found = np.zeros(len(share), bool)
    found[order[:count]] = True
    return found
