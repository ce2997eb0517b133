"""Rules for steps that move the rows of a map: padding, slices, flips, other orders of axes."""

import dataclasses
import math

from keras_explain.engine.placing.axis import smaller
from keras_explain.engine.placing.sliding import move_along, per_axis
from keras_explain.graph.steps import kind


def follow_padded(step, known, value):
    pads = step.fn.padding if hasattr(step.fn, "padding") else step.fn.cropping
    pads = [pads] if isinstance(pads[0], int) else pads
    if hasattr(step.fn, "padding"):
        return move_along(step, known, lambda a, n: a.pad(*pads[n]))
    return move_along(step, known, lambda a, n: a.move(pads[n][0], 1, a.size - sum(pads[n])))


def follow_padded_by(step, known, value):
    pads = step.fn.pad_width
    return [a and a.pad(*pads[a.axis]) for a in known[step.reads[0]]]


def follow_flipped(step, known, value):
    rank, axis = len(value.spec.shape), step.fn.axis
    axes = range(rank) if axis is None else [axis] if isinstance(axis, int) else axis
    axes = {a % rank for a in axes}
    return [None if a is None else a.move(a.size - 1, -1, a.size) if a.axis in axes else a
            for a in known[step.reads[0]]]


def follow_rotated(step, known, value):
    turns, (one, two) = step.fn.k % 4, [a % len(value.spec.shape) for a in step.fn.axes]
    shape = value.spec.shape
    if turns == 2 and (shape[one] is None or shape[one] != shape[two]):
        raise ValueError("on TensorFlow, Keras shuffles a map that is not square: to be measured")

    def move(a):
        if a is None or a.axis not in (one, two) or turns == 0:
            return a
        axis = a.axis if turns == 2 else one + two - a.axis
        turned = turns == 2 or (turns == 1) == (a.axis == two)
        return a.move(a.size - 1, -1, a.size, axis=axis) if turned else a.move(
            0, 1, a.size, axis=axis)

    return [move(a) for a in known[step.reads[0]]]


def follow_ordered(step, known, value):
    fn, name, rank = step.fn, kind(step.fn), len(value.spec.shape)
    order = list(range(rank))
    if name == "Permute":
        order = [0, *fn.dims]
    elif name == "Transpose":
        order = [a % rank for a in fn.axes or reversed(order)]
    elif name == "Swapaxes":
        one, two = fn.axis1 % rank, fn.axis2 % rank
        order[one], order[two] = two, one
    else:
        ends = [per_axis(option, 1) for option in (fn.source, fn.destination)]
        pairs = [[a % rank for a in axes] for axes in ends]
        order = [a for a in order if a not in pairs[0]]
        for source, destination in sorted(zip(*pairs, strict=True), key=lambda p: p[1]):
            order.insert(destination, source)
    return [None if a is None else dataclasses.replace(a, axis=order.index(a.axis))
            for a in known[step.reads[0]]]


def follow_reshaped(step, known, value):
    """Numbers keep their order: an axis is found again by how far apart its cells are."""
    old, new = step.reads[0].spec.shape, value.spec.shape
    if None in (*old[1:], *new[1:]):
        return [a and _behind_as_many(a, old, new) for a in known[step.reads[0]]]
    apart = [math.prod(new[b + 1 :]) for b in range(len(new))]

    def move(a):
        if a.skipped:  # only what stays an axis of its own, as when channels become heads
            same = [b for b in range(1, len(new)) if new[b] == old[a.axis] and apart[b] == (
                math.prod(old[a.axis + 1 :]))]
            return dataclasses.replace(a, axis=same[0]) if same else None
        distance, size = a.block * math.prod(old[a.axis + 1 :]), a.size
        for b in range(1, len(new)):
            if distance % apart[b] == 0 and distance * size <= apart[b] * new[b]:
                block = distance // apart[b]
                packed = block > 1 or size != new[b]
                return dataclasses.replace(a, axis=b, block=block, packed=packed)
        for b in range(1, len(new)):  # blocks of equal size: the patches of a transformer
            if 1 < new[b] < size and apart[b] * new[b] == distance * size:
                rows = size // new[b]
                whole = dataclasses.replace(a, block=1, packed=False)
                return whole.move(0, rows, new[b], rows, axis=b)
        return None

    return [a and move(a) for a in known[step.reads[0]]]


def _behind_as_many(a, old, new):
    """The axis of the same size behind as many numbers, where some sizes are free."""
    before = sorted(str(n) for n in old[1 : a.axis] if n != 1)
    for b in range(1, len(new)):
        same = sorted(str(n) for n in new[1:b] if n != 1) == before
        if same and new[b] == old[a.axis] and not a.packed:
            return dataclasses.replace(a, axis=b)
    return None


def follow_sliced(step, known, value):
    keys = [*step.args, *step.kwargs.values()][1]
    keys = list(keys) if isinstance(keys, tuple) else [keys]
    rank = len(step.reads[0].spec.shape)
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        used = sum(key is not None for key in keys) - 1
        keys[at : at + 1] = [slice(None)] * (rank - used)
    keys += [slice(None)] * (rank - sum(key is not None for key in keys))
    moved, old, new = {}, 0, 0
    for key in keys:
        if key is None:
            new += 1
            continue
        if isinstance(key, slice):
            moved[old] = key, new
            new += 1
        old += 1
    return [None if a is None or a.axis not in moved else _cut(a, *moved[a.axis])
            for a in known[step.reads[0]]]


def _cut(a, key, axis):
    if a.packed:
        first = key.start or 0
        if first < 0 or first > a.skipped or key.stop is not None or key.step not in (None, 1):
            raise ValueError("several axes in one")
        return dataclasses.replace(a, axis=axis, skipped=a.skipped - first)
    if isinstance(a.size, int):
        numbers = range(a.size)[key]
        return a.move(numbers.start, numbers.step, len(numbers), axis=axis)
    step = 1 if key.step is None else key.step
    start = key.start if key.start is not None else 0 if step > 0 else a.size - 1
    start = start + a.size if isinstance(start, int) and start < 0 else start
    stop = key.stop if key.stop is not None else a.size if step > 0 else -1
    stop = stop + a.size if key.stop is not None and stop < 0 else stop
    stop = smaller(stop, a.size) if step > 0 else stop
    size = (stop - start + step - (1 if step > 0 else -1)) // step
    return a.move(start, step, size, axis=axis)




def follow_center_cropped(step, known, value):
    """Where the map is smaller than what is to be cut out, its size is changed instead."""
    wanted = (step.fn.height, step.fn.width)
    places = known[step.reads[0]]
    small = [a is not None and isinstance(a.size, int) and a.size < n
             for a, n in zip(places, wanted, strict=False)]
    if any(small):
        raise ValueError("not cropped")
    return move_along(step, known, lambda a, n: a.move((a.size - wanted[n]) // 2, 1, wanted[n]))
