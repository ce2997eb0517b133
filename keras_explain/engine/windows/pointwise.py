"""Steps whose output at a pixel needs that pixel only: they run on the window as on the map.

Keras's own layers and operations are known by name. All others, as the functions and layers of
users, are tried: what they give on windows of random maps has to be what they give there on the
whole maps, whatever their weights are. Arrays that differ from pixel to pixel (a mean image, a
factor a row), in the arguments of an operation or held by a layer, are cut to the window.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_explain import backend
from keras_explain.engine.affine import Affine
from keras_explain.engine.windows import span
from keras_explain.engine.windows.action import Action
from keras_explain.graph.frames import without_frames
from keras_explain.graph.models import view
from keras_explain.graph.probing import to_float64
from keras_explain.graph.steps import Step, Value, is_of_keras

# Layers and operations whose output at a pixel needs only that pixel.
POINTWISE = {
    "InputCast", "KeepMask", "SetMask", "Activation", "ReLU", "LeakyReLU", "ELU", "Identity",
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
OVER_CHANNELS = {"Softmax", "LogSoftmax", "Concatenate", "LayerNormalization", "UnitNormalization",
                  "RMSNormalization", "BatchNormalization"}
_FUNCTION_SIZES = (7, 5, 6)  # of the maps on which an activation is tried


def pointwise(step, windows):
    """The Action of a step on one window for input and output, or why there is none."""
    values = list(dict.fromkeys(step.reads))
    changed = [v for v in values if v in windows]
    rank = len(step.outputs[0].spec.shape)
    extents = [s.extent for s in windows[changed[0]]]
    name = type(step.fn).__name__
    if rank < 3 or step.outputs[0].spec.shape[1:-1] != tuple(extents):
        return f"{name} looks at the whole map or changes its shape"
    reads = {}
    for value in values:
        shape = value.spec.shape
        if len(shape) == rank and list(shape[1:-1]) == extents:
            reads[value] = True
        elif value in windows or len(shape) != rank or any(n != 1 for n in shape[1:-1]):
            return "its inputs have different shapes"
        else:
            reads[value] = None
    window = tuple(span.union(spans) for spans in zip(*(windows[v] for v in changed), strict=True))
    if not all(fits(a, extents) for a in _arrays(step).values()):
        return f"{name} holds an array of another shape than the map"
    if (_arrays(step) or not _is_known(step, name)) and not _agrees(step, reads, window):
        return f"{name} looks at the whole map, or at places of it"
    frame = span.regions(window)
    reads = {v: frame if r else None for v, r in reads.items()}

    def run(tensors, positions, fn):
        arrays = {name: positions.cut(_as_map(a, extents), frame)
                  for name, a in _arrays(step).items()}
        return _call(step, dict(zip(values, tensors, strict=True)), arrays, fn)

    return Action(window, reads, run)


def is_pointwise(activation, channels, rank):
    """Whether a function of maps, as the activation of a layer, looks at single pixels."""
    if activation in (None, backend.swish) or _is_keras_function(activation):
        return True
    value, result = (Value(keras.KerasTensor((None, *_FUNCTION_SIZES[:rank], channels)))
                     for _ in range(2))
    window = tuple(span.Span(np.arange(n - 2), np.arange(n - 2) + 2, n)
                   for n in _FUNCTION_SIZES[:rank])
    return _agrees(Step(activation, (value,), {}, [result]), {value: True}, window)


def _is_known(step, name):
    """Whether Keras's own code says that the step looks at single pixels."""
    fn, rank = step.fn, len(step.outputs[0].spec.shape)
    if fn is backend.swish or _is_keras_function(fn):
        return True
    if not is_of_keras(fn):
        return False
    if isinstance(fn, Affine):
        known = fn.kind == "dense" or fn.kind == "norm" and fn.layer.axis % rank == rank - 1
        return known and (fn.activation in (None, backend.swish)
                          or _is_keras_function(fn.activation))
    if name in OVER_CHANNELS:
        axis = getattr(fn, "axis", -1)
        axes = [axis] if isinstance(axis, int) else list(axis)
        return [a % rank for a in axes] == [rank - 1]
    if name == "Activation":
        return _is_keras_function(fn.activation)
    return name in POINTWISE


def _is_keras_function(fn):
    return fn is not None and fn is getattr(keras.activations, getattr(fn, "__name__", ""), None)


# Arrays that differ from pixel to pixel ---------------------------------------------------------


def _arrays(step):
    """{place of an array that differs from pixel to pixel: the array}, of arguments and layer."""
    found = {}
    for place, argument in _arguments(step):
        if not any(isinstance(v, Value) for v in keras.tree.flatten(argument)):
            found[place] = argument
    if isinstance(step.fn, keras.layers.Layer):
        found.update(vars(step.fn))
    return {name: a for name, a in found.items() if _differs(a)}


def _arguments(step):
    """The arguments by their place: an index or a name in brackets, which no attribute has."""
    return [(f"[{place}]", a) for place, a in (*enumerate(step.args), *step.kwargs.items())]


def _differs(array):
    """Whether it is an array of numbers with more than one pixel."""
    shape = _shape(array)
    return shape is not None and math.prod(shape[:-1]) != 1


def _shape(array):
    if isinstance(array, (list, tuple)):
        if not array or not all(type(n) in (int, float) for n in keras.tree.flatten(array)):
            return None
        return np.shape(array)
    if isinstance(array, (np.ndarray, keras.Variable)) or ops.is_tensor(array):
        return tuple(array.shape)
    return None


def fits(array, extents):
    """Whether an array has a number, or one for all, for each pixel of a map."""
    shape, rank = _shape(array), len(extents) + 1
    if len(shape) == rank + 1 and shape[0] == 1:
        shape = shape[1:]
    return len(shape) <= rank and all(
        n in (1, m) for n, m in zip(shape[-2::-1], extents[::-1], strict=False))


def _as_map(array, extents):
    """An array that fits, as (1, rows..., channels)."""
    array = ops.convert_to_tensor(array)
    shape = tuple(array.shape)[-len(extents) - 1 :]
    return ops.broadcast_to(ops.reshape(array, (*[1] * (len(extents) + 2 - len(shape)), *shape)),
                            (1, *extents, shape[-1]))


def _call(step, env, arrays, fn):
    """The step, with tensors for its Values and other arrays in the place of its own."""
    if any(not name.startswith("[") for name in arrays):
        held = {name: a for name, a in arrays.items() if not name.startswith("[")}
        fn = view(step.fn, **held)
        fn.input_spec = None  # it may ask for the size of the map
    filled = {place: arrays[place] if place in arrays else keras.tree.map_structure(
        lambda v: env[v] if isinstance(v, Value) else v, argument)
        for place, argument in _arguments(step)}
    args = [filled.pop(f"[{i}]") for i in range(len(step.args))]
    return fn(*args, **{place[1:-1]: v for place, v in filled.items()})


# Trying ---------------------------------------------------------------------------------------


def _agrees(step, reads, window):
    """Whether the step gives on windows of random maps what it gives there on the whole maps.

    Args:
        reads: {Value: whether it is a map of the window's size}.
        window: Spans.
    """
    rng, seen = np.random.default_rng(0), False
    starts = [[s.start[i] for i in (0, len(s.start) // 2, -1)] for s in window]
    extents = [s.extent for s in window]

    def cut(x):
        """Three windows of a map, (3, rows..., channels)."""
        return np.stack([x[(k % len(x), *(slice(at[k], at[k] + s.size)
                                          for at, s in zip(starts, window, strict=True)))]
                         for k in range(3)])

    try:
        with backend.no_gradient(), backend.same_random_state(), keras.StatelessScope(
                state_mapping=_random_weights(step, rng)):
            arrays = {name: ops.convert_to_numpy(_as_map(a, extents))
                      for name, a in _arrays(step).items()}
            for sample in (_vary_everywhere, _by_places, _positive):
                maps = {v: sample(rng, v.spec, 2 if is_map else 1) for v, is_map in reads.items()}
                whole = _call(step, {v: _tensor(x, v) for v, x in maps.items()}, {}, step.fn)
                part = _call(
                    step, {v: _tensor(cut(x) if reads[v] else x, v) for v, x in maps.items()},
                    {name: ops.convert_to_tensor(cut(a)) for name, a in arrays.items()}, step.fn)
                whole, part = cut(to_float64(whole)), to_float64(part)
                if whole.shape != part.shape or not np.allclose(
                        whole, part, rtol=1e-4, atol=1e-6 * np.nanmax(np.abs(whole), initial=0),
                        equal_nan=True):
                    return False
                seen = seen or np.isfinite(whole).mean() > 0.5
    except Exception:  # a function of the user's may refuse numbers like these with any error
        return False
    return seen


def _tensor(x, value):
    return ops.cast(ops.convert_to_tensor(x), value.spec.dtype)


def _random_weights(step, rng):
    """Numbers for the variables of a layer, which are often all 0 or 1 before a training."""
    variables = [v for v in keras.tree.flatten((step.args, step.kwargs))
                 if isinstance(v, keras.Variable)]
    fn = step.fn.layer if isinstance(step.fn, Affine) else without_frames(step.fn)
    variables += fn.weights if isinstance(fn, keras.layers.Layer) else []
    return [(v, ops.convert_to_tensor(rng.uniform(0.3, 1.7, v.shape), v.dtype))
            for v in variables if "float" in v.dtype]


def _vary_everywhere(rng, spec, rows):
    scale = 1.0 if "float" in spec.dtype else 20.0
    x = rng.normal(size=(rows, *spec.shape[1:])) * scale
    return x if "float" in spec.dtype else np.abs(x)


def _by_places(rng, spec, rows):
    """Tiny numbers in one half of the map and large ones in the other."""
    x = _vary_everywhere(rng, spec, rows)
    half = np.arange(x.shape[1]) < x.shape[1] // 2
    scale = np.where(half, 1e-3, 100.0) if "float" in spec.dtype else np.where(half, 0.0, 2.0)
    return x * scale.reshape(-1, *[1] * (x.ndim - 2))


def _positive(rng, spec, rows):
    return rng.random((rows, *spec.shape[1:])) * (1.0 if "float" in spec.dtype else 100.0)
