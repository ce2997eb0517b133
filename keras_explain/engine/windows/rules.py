"""Which window of its output a step must recompute, and how: one rule for each kind of step.

`action(step, windows)` answers with an `Action`, or with a sentence that says why the whole map
has to be recomputed. Maps are (batch, rows..., channels).
"""

import dataclasses
import inspect

import keras
import numpy as np
from keras import ops

from keras_explain import backend
from keras_explain.engine.affine import Affine
from keras_explain.engine.windows import span, strips
from keras_explain.graph.steps import Value

# Layers and operations whose output at a pixel needs only that pixel.
_POINTWISE = {
    "_Cast", "_KeepMask", "_SetMask", "Activation", "ReLU", "LeakyReLU", "ELU", "Identity",
    "Rescaling", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
    "GaussianDropout", "GaussianNoise", "AlphaDropout", "ActivityRegularization", "RandomFlip",
    "LayerScale", "StochasticDepth",  # of keras.applications' ConvNeXt
    "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness",
    "Add", "Subtract", "Multiply", "Divide", "TrueDivide", "FloorDivide", "DivideNoNan", "Mod",
    "Fmod", "Average", "Maximum", "Minimum", "Fmax", "Fmin", "Power", "Hypot", "Arctan2",
    "Logaddexp", "Logaddexp2", "Where", "Clip", "Cast", "NanToNum",
    "Absolute", "Abs", "Fabs", "Negative", "Sign", "Floor", "Ceil", "Round", "Trunc",
    "Exp", "Exp2", "Expm1", "Log", "Log1p", "Log2", "Log10", "Sqrt", "Rsqrt", "Cbrt", "Square",
    "Reciprocal", "Erf", "Erfc", "Sin", "Cos", "Tan", "Sinh", "Cosh", "Tanh", "Sinc",
    "Arcsin", "Arccos", "Arctan", "Arcsinh", "Arccosh", "Arctanh",
    "Equal", "NotEqual", "Greater", "GreaterEqual", "Less", "LessEqual",
    "LogicalAnd", "LogicalNot", "LogicalOr", "LogicalXor",
    "Relu", "Relu6", "Sigmoid", "Silu", "Gelu", "Elu", "Selu", "Celu", "LeakyRelu", "Mish",
    "HardSigmoid", "HardSilu", "HardTanh", "HardShrink", "SoftShrink", "TanhShrink", "Threshold",
    "Softplus", "Softsign", "LogSigmoid", "Squareplus", "SparsePlus", "SparseSigmoid",
}
_OVER_CHANNELS = {"Softmax", "LogSoftmax", "Concatenate", "LayerNormalization", "UnitNormalization",
                  "RMSNormalization", "BatchNormalization"}


@dataclasses.dataclass
class Action:
    """Recompute a window.

    Args:
        window: Spans of the output; None where the output is whole after all.
        reads: for each Value that the step reads, the frame of it that is needed; None for
            the clean value as it is.
        run: `run(tensors, positions, fn) -> output`: the tensors in the order of `reads`, and
            the step's function with its weights bound.
        padding: what stands outside of the map.
    """

    window: tuple | None
    reads: dict
    run: object
    padding: float = 0.0
    share: float = 1.0  # of the whole map's work, where the window does not tell


def action(step, windows):
    """The Action of a step, or the reason why there is none.

    Args:
        windows: Value -> Spans for the values that change in a window; values that do not
            change at all are missing.
    """
    name = type(step.fn).__name__
    if inspect.isfunction(step.fn) and _keras_activation(step.fn):
        return _pointwise(step, windows)
    if not type(step.fn).__module__.startswith(("keras.src.", "keras_explain.")):
        return f"{name} is not a Keras layer or operation"
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
    if _is_pointwise(step, name):
        return _pointwise(step, windows)
    return f"{name} looks at the whole map"


def _is_pointwise(step, name):
    fn = step.fn
    rank = len(step.outputs[0].spec.shape)
    if isinstance(fn, Affine):
        return _keras_activation(fn.activation) and (
            fn.kind == "dense" or fn.layer.axis % rank == rank - 1)
    if name in _OVER_CHANNELS:
        axis = getattr(fn, "axis", -1)
        axes = [axis] if isinstance(axis, int) else list(axis)
        return [a % rank for a in axes] == [rank - 1]
    if name == "PReLU":
        return fn.shared_axes is not None and set(fn.shared_axes) == set(range(1, rank - 1))
    if name == "Normalization":
        return int(np.prod(np.shape(fn.mean)[:-1])) == 1
    if name == "Activation":
        return _keras_activation(fn.activation)
    return name in _POINTWISE


def _keras_activation(fn):
    return fn in (None, backend.swish) or (
        getattr(fn, "__module__", "").startswith("keras.src.activations"))


def _pointwise(step, windows):
    values = list(dict.fromkeys(step.reads))
    changed = [v for v in values if v in windows]
    rank = len(step.outputs[0].spec.shape)
    extents = [s.extent for s in windows[changed[0]]]
    if step.outputs[0].spec.shape[1:-1] != tuple(extents):
        return "the map changes its shape"
    reads = {}
    for value in values:
        shape = value.spec.shape
        if len(shape) == rank and list(shape[1:-1]) == extents:
            reads[value] = True
        elif value in windows or len(shape) != rank or any(n != 1 for n in shape[1:-1]):
            return "its inputs have different shapes"
        else:
            reads[value] = None
    for constant in keras.tree.flatten((step.args, step.kwargs)):
        shape = getattr(constant, "shape", ())
        if not isinstance(constant, Value) and int(np.prod(shape[:-1])) != 1:
            return "a constant differs from pixel to pixel"
    window = tuple(span.union(spans) for spans in zip(*(windows[v] for v in changed), strict=True))
    frame = span.regions(window)
    reads = {v: frame if r else None for v, r in reads.items()}

    def run(tensors, positions, fn):
        env = dict(zip(values, tensors, strict=True))
        args, kwargs = keras.tree.map_structure(
            lambda v: env[v] if isinstance(v, Value) else v, (step.args, step.kwargs))
        return fn(*args, **kwargs)

    return Action(window, reads, run)


def _convolution(step, windows):
    fn, value = step.fn, step.reads[0]
    if not _keras_activation(fn.activation):
        return "its activation is not one of Keras's"
    if fn.kind == "transpose":
        return _transposed(step, windows)
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


def _transposed(step, windows):
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
    window = tuple(s.shifted(sign * p[0], extent)
                   for s, p, extent in zip(windows[value], pads, extents, strict=True))
    frame = tuple(span.Region(s.start - sign * p[0], s.size)
                  for s, p in zip(window, pads, strict=True))
    return Action(window, {value: frame}, lambda x, positions, fn: x[0])


def _upsampling(step, windows):
    value, size = step.reads[0], step.fn.size
    sizes = (size,) if isinstance(size, int) else size
    spans = windows[value]
    window = tuple(s.repeated(n) for s, n in zip(spans, sizes, strict=True))
    return Action(window, {value: span.regions(spans)}, lambda x, positions, fn: fn(x[0]))
