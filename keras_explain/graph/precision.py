"""Other faces of layers and steps: without their activation, in float32."""

import keras
from keras import tree

from keras_explain.graph import steps as kinds
from keras_explain.graph.frames import OverFrames, without_frames
from keras_explain.graph.models import view
from keras_explain.graph.program import Program
from keras_explain.graph.steps import Step, Value

HALF = ("float16", "bfloat16")


def in_float32(program, value):
    """The Value computed in float32, as far as Keras's own layers compute it: program, value."""
    step = program.producer(value)
    if step is None or len(step.reads) != 1 or len(step.outputs) != 1:
        return program, value
    (read,) = step.reads
    if kinds.kind(step.fn) in ("Cast", "InputCast") and "float" in read.spec.dtype:
        return in_float32(program, read)
    if value.spec.dtype not in HALF or float32_face(step.fn) is step.fn:
        return program, value
    source = read
    if not kinds.has_weights(step.fn):
        program, source = in_float32(program, read)
    return append_step(program, float32_face(step.fn), {read: source}, value.spec.shape, step)


def float32_face(fn):
    """A layer of Keras's own, seen with float32 for its precision; another `fn` as it is."""
    if isinstance(fn, OverFrames):
        return fn.with_fn(float32_face(fn.fn))
    if not isinstance(fn, keras.layers.Layer) or not kinds.is_built_in(fn):
        return fn
    if fn.compute_dtype not in HALF or getattr(fn, "quantization_mode", None):
        return fn
    return see_with(fn, "float32")


def find_innermost(fn):
    """The layer inside of Keras's wrappers, as TimeDistributed and SpectralNormalization."""
    fn = without_frames(fn)
    while isinstance(fn, keras.layers.Wrapper):
        fn = fn.layer
    return fn


def see_with(fn, dtype=None, **attributes):
    """The same layer in another precision, the innermost one with other attributes."""
    if isinstance(fn, OverFrames):
        return fn.with_fn(see_with(fn.fn, dtype, **attributes))
    if isinstance(fn, keras.layers.Wrapper):
        return view(fn, dtype, layer=see_with(fn.layer, dtype, **attributes))
    return view(fn, dtype, **attributes)


def append_step(program, fn, source, shape, step=None):
    """The program with one more step of `fn`, and the Value that it gives: float32 or more.

    Args:
        source: the Value that it reads; or {Value: another} in the arguments of `step`.
        step: the one whose other arguments are kept.
    """
    dtype = step.outputs[0].spec.dtype if step is not None else "float32"
    made = Value(keras.KerasTensor(shape, "float32" if dtype in HALF else dtype))
    new = Step(fn, (source,), {}, [made])
    if step is not None:
        news = source if isinstance(source, dict) else {}
        args, kwargs = tree.map_structure(
            lambda v: news.get(v, v) if isinstance(v, Value) else v, (step.args, step.kwargs))
        new = Step(fn, args, kwargs, [made], step.path)
    return Program(program.inputs, [*program.steps, new], program.outputs, program.calls), made
