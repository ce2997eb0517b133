"""The steps of a program, and what kind each is: convolution, feature map, tokens, attention."""

import dataclasses

import keras
from keras import tree

from keras_explain.graph.frames import OverFrames, without_frames

NO_FEATURES = ("Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Cast", "ExpandDims",
               "InputCast", "VariableValue", "ConstantValue", "GetMask", "KeepMask", "SetMask",
               "MaxPool", "AveragePool", "AvgPool", "AdaptiveAverage", "AdaptiveMax",
               "GlobalAverage", "GlobalMax", "ZeroPadding", "Cropping", "Pad", "Permute",
               "Transpose", "SpatialDropout", "GaussianDropout", "GaussianNoise", "GetItem",
               "UpSampling", "Resiz")
NORMALIZATIONS = (keras.layers.LayerNormalization, keras.layers.RMSNormalization,
                  keras.layers.GroupNormalization, keras.layers.UnitNormalization)
MULTIPLYING = ("Softmax", "DotProductAttention", "LayerNorm", "RMSNorm", "Normalize", "Rsqrt")
CONVOLUTIONS = ("Conv", "DepthwiseConv", "SeparableConv", "ConvTranspose")  # keras.ops


class Value:
    """An edge of the program. `spec` is its symbolic shape and dtype.

    `keeps_channels` says of an input whether its heatmap has a number for each of its channels.
    """

    keeps_channels = False

    def __init__(self, spec):
        self.spec = keras.KerasTensor(spec.shape, spec.dtype, name=getattr(spec, "name", None))


@dataclasses.dataclass(eq=False)
class Step:
    """One call: `outputs = fn(*args, **kwargs)`, where Values stand for tensors."""

    fn: object
    args: tuple
    kwargs: dict
    outputs: list
    path: str = ""

    @property
    def reads(self):
        return [v for v in tree.flatten((self.args, self.kwargs)) if isinstance(v, Value)]


@dataclasses.dataclass(eq=False)
class Call:
    """One use of a layer or nested model, under the path that a user can name."""

    path: str
    layer: object
    outputs: list
    index: int = 0


def see_one_frame(step):
    """What an `OverFrames` step does to one frame: a step of it, and {Value: that of a frame}."""
    frames = {}

    def frame_of(value):
        if value not in frames:
            shape = value.spec.shape
            frames[value] = Value(keras.KerasTensor((shape[0], *shape[2:]), value.spec.dtype))
        return frames[value]

    args, kwargs, _ = step.fn.map_frames(step.args, step.kwargs, frame_of)
    outputs = [frame_of(v) for v in step.outputs]
    return dataclasses.replace(step, fn=step.fn.fn, args=args, kwargs=kwargs,
                               outputs=outputs), frames


def see_inside_frames(step):
    """The step, or what it does to one frame where it runs over frames."""
    while isinstance(step.fn, OverFrames):
        step, _ = see_one_frame(step)
    return step


def kind(fn):
    return type(fn).__name__


def is_of_keras(fn):
    """Whether a step is a layer or operation of Keras, or one that we put in its place."""
    return type(without_frames(fn)).__module__.startswith(("keras.", "keras_explain."))


def is_operation(fn, name):
    """Whether a step is the operation of `keras.ops` whose class has this name."""
    return kind(fn) == name and is_of_keras(fn) and not isinstance(fn, keras.layers.Layer)


def is_feature_map(step):
    """Whether a step computes features, rather than move, pool or pad those of another."""
    return not kind(without_frames(step.fn)).startswith(NO_FEATURES)


def is_attention(fn):
    return isinstance(fn, keras.layers.Layer) and "Attention" in kind(fn)


def multiplies_itself(fn):
    """Whether a step of Keras multiplies what it is given with numbers computed from the same.

    Attention does, and what divides by a deviation.
    """
    return is_attention(fn) or isinstance(fn, NORMALIZATIONS) or any(
        is_operation(fn, name) for name in MULTIPLYING)


def is_convolution(step):
    """A layer whose kernel spans space (of the rank of its output), or such an operation."""
    step = see_inside_frames(step)
    fn, spec = step.fn, step.outputs[0].spec
    if kind(fn) in CONVOLUTIONS:
        return True
    if not has_weights(fn) or is_attention(fn) or isinstance(fn, keras.layers.EinsumDense):
        return False
    if is_built_in(fn):
        return hasattr(fn, "kernel_size")
    return len(spec.shape) >= 3 and any(
        len(w.shape) == len(spec.shape) and not _broadcasts(w.shape, step.reads[0].spec.shape)
        for w in fn.weights
    )


def _broadcasts(shape, onto):
    """Whether an array is one to add or multiply, as a position embedding, and no kernel."""
    return all(n in (1, m) for n, m in zip(shape[1:], onto[1:], strict=False))


def is_token_step(step, cells):
    """Whether a layer with weights works on tokens (N, tokens, width), one for each cell."""
    shape = see_inside_frames(step).outputs[0].spec.shape
    return has_weights(step.fn) and len(shape) == 3 and (shape[1] or 0) >= cells


def has_weights(fn):
    fn = without_frames(fn)
    return isinstance(fn, keras.layers.Layer) and bool(fn.weights)


def is_built_in(layer):
    """Whether the layer computes as Keras wrote it."""
    return type(without_frames(layer)).call.__module__.startswith("keras.")


def channel_axes(steps):
    """Where the channels are: {Value: axis}, as far as the layers tell.

    A layer with a `data_format` tells for its input and output; from there it is followed
    through steps that keep or permute the axes, forward and then backward.
    """
    axes = {}
    for step in steps:
        fn, frames = step.fn, 0
        while isinstance(fn, OverFrames):
            fn, frames = fn.fn, frames + 1
        declared = getattr(fn, "data_format", None)
        if declared in ("channels_last", "channels_first") and kind(fn) != "Flatten":
            for value in (step.reads[0], step.outputs[0]):
                rank = len(value.spec.shape)
                if rank - frames >= 3:
                    first = declared == "channels_first"
                    axes.setdefault(value, 1 + frames if first else rank - 1)
        for read in step.reads:
            order = _order(step, read)
            if order and read in axes:
                axes.setdefault(step.outputs[0], order.index(axes[read]))
    for step in reversed(steps):
        for read in step.reads:
            order = _order(step, read)
            if order and step.outputs[0] in axes:
                axes.setdefault(read, order[axes[step.outputs[0]]])
    return axes


def _order(step, read):
    """For each axis of the output the axis of `read` that it is; None where they do not match."""
    if isinstance(step.fn, OverFrames):
        inner, frames = see_one_frame(step)
        order = _order(inner, frames[read]) if read in frames else None
        return order and (0, 1, *[a + 1 for a in order[1:]])
    rank = len(read.spec.shape)
    if kind(step.fn) == "Permute":
        return (0, *step.fn.dims)
    if kind(step.fn) == "Transpose":
        return tuple(a % rank for a in step.fn.axes or reversed(range(rank)))
    if kind(step.fn) in ("Moveaxis", "Swapaxes") or len(step.outputs[0].spec.shape) != rank:
        return None
    return tuple(range(rank))
