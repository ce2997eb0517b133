"""Rules for steps that slide a kernel over a map, or change its size."""

from keras import ops

from keras_explain.engine.placing.axis import larger, real, smaller
from keras_explain.graph.steps import Value, kind


def _spatial(step, value=None):
    """The axes of a step's output that a kernel slides over."""
    rank = len(step.outputs[0].spec.shape)
    declared = getattr(step.fn, "data_format", None)
    return list(range(2, rank)) if declared == "channels_first" else list(range(1, rank - 1))


def per_axis(option, count):
    return [option] * count if isinstance(option, int) else list(option)


def move_along(step, known, move):
    """Each axis of the first map with `move(place, n)`, n its place among the spatial axes."""
    axes = _spatial(step)
    return [None if a is None else move(a, axes.index(a.axis)) if a.axis in axes else a
            for a in known[step.reads[0]]]


def _kernel(step):
    fn = step.fn
    for name in ("kernel_size", "pool_size"):
        if hasattr(fn, name):
            return getattr(fn, name)
    if kind(fn) == "ExtractPatches":
        return fn.size
    kernel = [*step.args, *step.kwargs.values()][1]
    count = len(_spatial(step))
    return (kernel.spec.shape if isinstance(kernel, Value) else kernel.shape)[:count]


def follow_sliding(step, known, value):
    """Convolution and pooling.

    Where padding keeps the map whole (a cell for every `stride` rows), the cells share it evenly,
    although the windows of an even map then begin half a stride early or late: trained networks
    look at the middle of a cell's share, not at the middle of its window.
    """
    fn, count = step.fn, len(_spatial(step))
    kernel = per_axis(_kernel(step), count)
    strides = getattr(fn, "strides", None)
    strides = kernel if strides is None else per_axis(strides, count)
    dilation = per_axis(getattr(fn, "dilation_rate", 1), count)

    def move(a, n):
        reach, stride = (kernel[n] - 1) * dilation[n] + 1, strides[n]
        if fn.padding == "same":
            return a.settle().spread(-(-a.size // stride), reach)
        if fn.padding == "causal":
            return a.move(1 - reach, stride, -(-a.size // stride), reach)
        size = (a.size - reach) // stride + 1
        if _keeps_whole(a, size, reach, stride):
            return a.spread(size, max(reach, stride))
        return a.move(0, stride, size, reach)

    return move_along(step, known, move)


def _keeps_whole(a, size, reach, stride):
    """Whether there is a cell for every `stride` rows, as with `padding="same"`."""
    before, after = a.margin
    if abs(before - after) > 1:
        return False
    if isinstance(size, int):
        return size == -(-(a.size - before - after) // stride) and before + after < reach
    if before + after == 0:
        return reach < stride
    return reach - stride <= before + after < reach


def follow_transposed(step, known, value):
    fn, count = step.fn, len(_spatial(step))
    kernel, strides, dilation = (per_axis(option, count) for option in (
        _kernel(step), fn.strides, getattr(fn, "dilation_rate", 1)))
    more = [getattr(fn, "output_padding", None)] if not isinstance(
        getattr(fn, "output_padding", None), (list, tuple)) else fn.output_padding
    more = more * count if len(more) == 1 else more

    def move(a, n):
        reach, stride = (kernel[n] - 1) * dilation[n] + 1, strides[n]
        size, before = a.size * stride + max(reach - stride, 0), 0
        if fn.padding == "same" and more[n] is None:
            size = a.size * stride
            before = reach - 1 - min(-(-(stride + reach - 2) // 2), reach - 1)
        elif fn.padding == "same":
            total = reach + reach % 2 - 2 + more[n]
            size = (a.size - 1) * stride + reach % 2 + more[n]
            before = reach - 1 - min(-(-total // 2), reach - 1)
        elif more[n] is not None:
            size = (a.size - 1) * stride + reach + more[n]
        return a.stretch((before - (reach - 1) / 2) / stride, 1 / stride, size,
                         (reach - 1) / (2 * stride))

    return move_along(step, known, move)


def follow_repeated(step, known, value):
    times = per_axis(step.fn.size, len(_spatial(step)))
    return move_along(step, known, lambda a, n: a.stretch(
        (1 / times[n] - 1) / 2, 1 / times[n], a.size * times[n]))


def follow_resized(step, known, value):
    fn = step.fn
    wanted = fn.size if hasattr(fn, "size") else (fn.height, fn.width)
    first = getattr(fn, "data_format", None) == "channels_first"
    rank = len(value.spec.shape)
    axes = [rank - 2, rank - 1] if first else [rank - 3, rank - 2]
    old = {a.axis: a.size for a in known[step.reads[0]] if a is not None}
    crop, pad = (getattr(fn, f"{how}_to_aspect_ratio", False) for how in ("crop", "pad"))

    def move(a):
        if a is None or a.axis not in axes:
            return a
        size, start, seen = wanted[axes.index(a.axis)], 0, a.size
        if (crop or pad) and len(old) == 2:
            other = axes[1 - axes.index(a.axis)]
            fit = old[other] * size // wanted[axes.index(other)]
            seen = smaller(a.size, fit) if crop else larger(a.size, fit)
            if not isinstance(seen, int):
                seen = ops.cast(seen, "int32")
            start = (a.size - seen) // 2 if crop else -((seen - a.size) // 2)
            if crop:
                a = a.move(start, 1, seen)
                start = 0
        factor = real(seen) / size
        return a.stretch(start + (factor - 1) / 2, factor, size, 0.5)

    return [move(a) for a in known[step.reads[0]]]


