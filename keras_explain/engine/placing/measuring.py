"""Where a step moves the rows of a map, measured: which rows of its output change with which.

For steps of which no rule is known. The step runs on random numbers; one row of them after the
other is exchanged, and the rows of the output that answer most tell where it went.
"""

import dataclasses
import math

import keras
import numpy as np
from keras import ops

from keras_explain.graph.probing import try_to_run
from keras_explain.graph.steps import Value

_MOST_ROWS = 96
_MOST_NUMBERS = 8e6  # that are held at a time
_ANSWERS = 0.1  # of the largest change: what is spread over the whole map is less
_LOCAL = 0.5  # of the map may answer to one row, at most
_MOSTLY = 0.95  # of the tokens
_NEAR = 1.0  # a cell off the straight line, at most


def measure(step, known, value, k):
    """A tuple of `Axis` for output `k` of a step, None where a row has no one place in it.

    Args:
        step: the `Step`.
        known: {Value that it reads: tuple of `Axis` or None}.
    """
    read, places = next(iter(known.items()))
    specs = [v.spec for v in step.reads]
    if any(None in s.shape[1:] or s.dtype == "string" for s in (*specs, value.spec)):
        return (None,) * len(places)
    return tuple(a and _axis(step, read, a, value, k) for a in places)


def _axis(step, read, axis, value, k):
    """The same axis after the step, from the answers to each row."""
    rows = _choose_rows(read.spec.shape[axis.axis])
    changes = change_rows(step, read, axis.axis, rows, k)
    if changes is None:
        return None
    if axis.packed and len(value.spec.shape) == len(read.spec.shape):
        return _keep_tokens(axis, rows, changes.max(axis=tuple(
            c for c in range(1, changes.ndim) if c != axis.axis)))
    best, width = None, _LOCAL
    for b in range(1, changes.ndim):
        answer = changes.max(axis=tuple(c for c in range(1, changes.ndim) if c != b))
        line = _line(rows, answer)
        if line and line[2] / answer.shape[1] < width:
            best, width = (b, *line), line[2] / answer.shape[1]
    if best is None:
        return None
    b, start, step_size, width = best
    if axis.packed:
        same = (start, step_size) == (0, 1) and changes.shape[b] == read.spec.shape[axis.axis]
        return dataclasses.replace(axis, axis=b) if same else None
    around = ((width - 1) * abs(step_size) + max(abs(step_size), 1) - 1) / 2
    return axis.stretch(start, step_size, value.spec.shape[b], around, axis=b)


def _keep_tokens(axis, rows, answer):
    """Tokens of a transformer: each answers most to itself; others may be put in front."""
    moved = answer.argmax(axis=1) - rows
    shift = int(np.median(moved))
    if (moved == shift).mean() < _MOSTLY or axis.skipped + shift < 0:
        return None
    return dataclasses.replace(axis, skipped=axis.skipped + shift)


def _choose_rows(size):
    """All rows, or those in the middle and some of the others."""
    if size <= _MOST_ROWS:
        return np.arange(size)
    half = _MOST_ROWS // 2
    middle = np.arange(half) + (size - half) // 2
    return np.unique([*middle, *np.linspace(0, size - 1, half).astype(int)])


def change_rows(step, read, axis, rows, k, summarize=np.asarray):
    """How much each number of output `k` changes with each row: (rows, ...), or None.

    Args:
        step: the `Step`.
        read: the Value whose rows are exchanged, along `axis`.
        summarize: what is kept of it.
    """
    values = list(dict.fromkeys(step.reads))
    clean = {v: _numbers(v.spec, 0) for v in values}
    other = 1 - clean[read] if "float" not in read.spec.dtype else _numbers(read.spec, 1)
    most = max(math.prod(v.spec.shape[1:]) for v in (*values, *step.outputs))
    found, at_once = [], int(max(1, _MOST_NUMBERS // most))
    before = _answer(step, clean, k)
    for first in range(0, len(rows), at_once):
        chunk = rows[first : first + at_once]
        batch = {v: np.repeat(x, len(chunk), axis=0) for v, x in clean.items()}
        for n, row in enumerate(chunk):
            where = (n, *[slice(None)] * (axis - 1), row)
            batch[read][where] = other[(0, *where[1:])]
        after = _answer(step, batch, k)
        if before is None or after is None or len(before) != 1 or (
                after.shape != (len(chunk), *before.shape[1:])):
            return None
        found.append(summarize(np.abs(after - before)))
    return np.concatenate(found)


def _numbers(spec, seed):
    shape, rng = (1, *spec.shape[1:]), np.random.default_rng(seed)
    if "float" in spec.dtype:
        return rng.normal(size=shape)
    return rng.integers(0, 2, shape)


def _answer(step, arrays, k):
    tensors = {v: ops.convert_to_tensor(x, v.spec.dtype) for v, x in arrays.items()}

    def run():
        args, kwargs = keras.tree.map_structure(
            lambda v: tensors[v] if isinstance(v, Value) else v, (step.args, step.kwargs))
        return keras.tree.flatten(step.fn(*args, **kwargs))[k]

    return try_to_run(run)


def _line(rows, answer):
    """(start, step, width) with the rows at `start + step * j` for row j of the output.

    `width` is how many rows of the output answer to one of the input. None where they are
    spread, or do not lie on a line.
    """
    size = answer.shape[1]
    largest = answer.max(axis=1, keepdims=True)
    seen = largest[:, 0] > 1e-6 * answer.max()
    answers = answer > _ANSWERS * largest
    first, last = answers.argmax(axis=1), size - 1 - answers[:, ::-1].argmax(axis=1)
    inner = seen & (first > 0) & (last < size - 1)
    used = inner if inner.sum() > 2 and np.ptp((first + last)[inner]) > 2 else seen
    if size < 2 or used.sum() < 2:
        return None
    width, middle = float((last - first)[used].mean()) + 1, (first + last)[used] / 2
    slope, start = np.polyfit(rows[used], middle, 1)
    if np.abs(start + slope * rows[used] - middle).max() > _NEAR or (
        abs(slope) * np.ptp(rows[used]) < 0.9):
        return None
    step = _snap(1 / slope) if abs(slope) < 1 else 1 / _snap(slope)
    begin = -start / slope
    return (round(2 * begin) / 2 if abs(2 * begin - round(2 * begin)) < 0.2 else begin), step, width


def _snap(number):
    near = round(number)
    return float(near) if near and abs(number - near) < 0.03 * abs(near) else float(number)
