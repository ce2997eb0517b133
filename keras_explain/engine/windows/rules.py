"""Which window of its output a step must recompute, and how: one rule for each kind of step.

`action(step, windows)` answers with an `Action`, or with a sentence that says why the whole map
has to be recomputed. Maps are (batch, rows..., channels).
"""

import numpy as np
from keras import ops

from keras_explain.engine.affine import Affine
from keras_explain.engine.windows import span, strips
from keras_explain.engine.windows.action import Action
from keras_explain.engine.windows.pointwise import is_pointwise, pointwise
from keras_explain.graph.steps import is_of_keras


def action(step, windows):
    """The Action of a step, or the reason why there is none.

    Args:
        windows: Value -> Spans for the values that change in a window; values that do not
            change at all are missing.
    """
    name = type(step.fn).__name__
    if not is_of_keras(step.fn):
        return pointwise(step, windows)
    if isinstance(step.fn, Affine) and step.fn.kind == "flat":
        return _flat(step, windows)
    if isinstance(step.fn, Affine) and step.fn.kind not in ("dense", "norm"):
        return _convolution(step, windows)
    if name.startswith(("MaxPooling", "AveragePooling")):
        return _pooling(step, windows)
    if name.startswith("GlobalAveragePooling"):
        return _global_average(step, windows)
    if name.startswith(("ZeroPadding", "Cropping")):
        return _shift(step, windows)
    if name.startswith("UpSampling") and getattr(step.fn, "interpolation", "nearest") == "nearest":
        return _upsampling(step, windows)
    return pointwise(step, windows)


def _convolution(step, windows):
    fn, value = step.fn, step.reads[0]
    shape = step.outputs[0].spec.shape
    if not is_pointwise(fn.activation, shape[-1], len(shape) - 2):
        return "its activation looks at the whole map"
    if fn.kind == "transpose":
        return _transpose(step, windows)
    kernel = fn.kernel_shape[:-2]
    strides = fn.strides * len(kernel) if len(fn.strides) == 1 else fn.strides
    window, frame = _slide(step, windows, kernel, strides, fn.dilation, fn.padding)
    return Action(window, {value: frame}, lambda x, positions, fn: fn(x[0], padding="valid"))


def _slide(step, windows, kernel, strides, dilation, padding):
    """Spans of the output and frame of the input of a sliding kernel."""
    value = step.reads[0]
    spans, extents = windows[value], step.outputs[0].spec.shape[1:-1]
    found = [
        s.through(k, stride, d, _before(padding, k, stride, d, s.extent), extent)
        for s, k, stride, d, extent in zip(spans, kernel, strides, dilation, extents, strict=True)
    ]
    return tuple(f[0] for f in found), tuple(f[1] for f in found)


def _before(padding, kernel, stride, dilation, extent):
    """Rows of padding above the map."""
    if padding == "causal":
        return (kernel - 1) * dilation
    return span.same_padding(extent, kernel, stride, dilation)[0] if padding == "same" else 0


def _transpose(step, windows):
    fn, value = step.fn, step.reads[0]
    kernel, extents = fn.kernel_shape[:-2], step.outputs[0].spec.shape[1:-1]
    if fn.layer.output_padding is not None or any(d > 1 for d in fn.dilation):
        return "its output is padded or dilated"
    if any(s > k for s, k in zip(fn.strides, kernel, strict=True)):
        return "its stride leaves gaps"
    found = []
    for s, k, stride, extent in zip(windows[value], kernel, fn.strides, extents, strict=True):
        before = max(k - stride, 0) // 2 if fn.padding == "same" else 0
        found.append(s.through_transposed(k, stride, 1, before, extent))
    window, frame, first = zip(*found, strict=True)
    cut = [span.Region(row, s.size) for row, s in zip(first, window, strict=True)]

    def run(tensors, positions, fn):
        return positions.crop(fn(tensors[0], padding="valid"), cut)

    return Action(window, {value: frame}, run)


def _pooling(step, windows):
    fn, value = step.fn, step.reads[0]
    kernel, strides = tuple(fn.pool_size), tuple(fn.strides)
    window, frame = _slide(step, windows, kernel, strides, (1,) * len(kernel), fn.padding)
    if type(fn).__name__.startswith("Max"):
        return Action(window, {value: frame}, lambda x, positions, fn: ops.max_pool(
            x[0], kernel, strides, "valid", "channels_last"), padding=-np.inf)
    # Only what lies inside the map counts: averages at the border divide by less.
    parts = []
    for region, s, k, stride, w in zip(frame, windows[value], kernel, strides, window, strict=True):
        first = region.start[:, None] + np.arange(w.size) * stride
        inside = np.minimum(first + k, s.extent) - np.maximum(first, 0)
        parts.append(np.asarray(k / inside, "float32"))

    def run(tensors, positions, fn):
        y = ops.average_pool(tensors[0], kernel, strides, "valid", "channels_last")
        for axis, part in enumerate(parts):
            if np.any(part != 1):
                y = y * ops.cast(positions.along(part, axis, len(parts)), y.dtype)
        return y

    return Action(window, {value: frame}, run)


def _global_average(step, windows):
    value = step.reads[0]
    window, keepdims = windows[value], step.fn.keepdims
    axes = tuple(range(1, 1 + len(window)))
    area = float(np.prod([s.extent for s in window]))

    def run(tensors, positions, fn):
        clean = positions.base[step.outputs[0]]
        changed = ops.cast(tensors[0], clean.dtype) - ops.cast(
            positions.clean(value, span.regions(window)), clean.dtype)
        return clean + ops.sum(changed, axis=axes, keepdims=keepdims) / area

    return Action(None, {value: span.regions(window)}, run)


def _flat(step, windows):
    value = step.reads[0]
    window = windows[value]
    if len(window) != 2:
        return "it looks at the whole of a map that has not two axes"
    share = window[0].size / window[0].extent
    if share > strips.LARGEST:
        return f"the rows of the window cover {share:.0%} of the map"
    return Action(None, {value: span.regions(window)}, lambda x, positions, fn: strips.sums(
        step, window, positions, fn), share=share)


def _shift(step, windows):
    fn, value = step.fn, step.reads[0]
    pads = fn.padding if hasattr(fn, "padding") else fn.cropping
    pads = [pads] if isinstance(pads[0], int) else pads
    sign = 1 if hasattr(fn, "padding") else -1
    extents = step.outputs[0].spec.shape[1:-1]
    window = tuple(s.shift(sign * p[0], extent)
                   for s, p, extent in zip(windows[value], pads, extents, strict=True))
    frame = tuple(span.Region(s.start - sign * p[0], s.size)
                  for s, p in zip(window, pads, strict=True))
    return Action(window, {value: frame}, lambda x, positions, fn: x[0])


def _upsampling(step, windows):
    value, size = step.reads[0], step.fn.size
    sizes = (size,) if isinstance(size, int) else size
    spans = windows[value]
    window = tuple(s.repeat(n) for s, n in zip(spans, sizes, strict=True))
    return Action(window, {value: span.regions(spans)}, lambda x, positions, fn: fn(x[0]))
