"""Where the tokens of an image lie that a step cuts out of it, measured."""

import math

import numpy as np

from keras_explain.engine.placing.axis import Axis
from keras_explain.engine.placing.measuring import change_rows

_ANSWERS = 1e-4  # of the largest change
_NEAR = 0.3  # of the distance of two tokens, off the straight line


def measure_tokens(step, known, value, k):
    """Two `Axis` in one for output `k` of a step that makes tokens of a map, or None.

    Each row and each column of the map is exchanged; a token lies where those are that it
    answers to. Tokens that answer to none, in front of the others or behind, are no cells.

    Args:
        step: the `Step`.
        known: {Value that it reads: tuple of two `Axis`}.
        value: its output, (N, tokens, width).
    """
    read, places = next(iter(known.items()))
    if len(value.spec.shape) != 3 or len(places) != 2 or None in places or any(
            a.packed for a in places) or places[0].axis >= places[1].axis or any(
            None in v.spec.shape[1:] or v.spec.dtype == "string" for v in (*step.reads, value)):
        return None
    found = [_measure(step, read, a.axis, k) for a in places]
    if None in found:
        return None
    (rows, high), (columns, wide) = found
    cells = np.flatnonzero(~np.isnan(rows) & ~np.isnan(columns))
    if len(cells) < 4 or len(cells) != cells[-1] - cells[0] + 1:
        return None
    rows, columns = rows[cells], columns[cells]
    width = int(np.argmax(rows > rows[0] + _NEAR)) or len(rows)
    if len(cells) % width or width < 2 or len(cells) == width:
        return None
    grid = rows.reshape(-1, width), columns.reshape(-1, width).T
    result, size = [], 1
    for axis, lines, reach in zip(places[::-1], grid[::-1], (wide, high), strict=True):
        line = lines[:, 0]
        step_size = (line[-1] - line[0]) / (len(line) - 1)
        even = line[0] + step_size * np.arange(len(line))
        if step_size <= 0 or np.abs(lines - even[:, None]).max() > _NEAR * step_size:
            return None
        cut = axis.stretch(float(even[0]), float(step_size), len(line), reach)
        result.insert(0, Axis(
            1, len(line), cut.offset, cut.scale, cut.reach, cut.low, cut.high, block=size,
            packed=True, skipped=int(cells[0])))
        size *= len(line)
    return tuple(result)


def _measure(step, read, axis, k):
    """The middle of the rows that each token answers to, NaN for none; and their reach."""
    size = read.spec.shape[axis]
    answers = change_rows(step, read, axis, np.arange(size), k, lambda x: x.max(axis=-1))
    if answers is None or not answers.max() > 0:
        return None
    seen = answers > _ANSWERS * answers.max()
    none = ~seen.any(axis=0)
    first, last = seen.argmax(axis=0), size - 1 - seen[::-1].argmax(axis=0)
    if ((last - first)[~none] > size / 2).any():  # each token has heard of all
        return None
    middle = np.where(none, math.nan, (first + last) / 2)
    inner = ~none & (first > 0) & (last < size - 1)
    reach = float((last - first)[inner if inner.any() else ~none].max()) / 2
    return middle, reach
