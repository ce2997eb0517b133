"""Steps taken apart: what a layer computes inside, where a program has it as one step."""

import dataclasses

import keras
from keras import tree

from keras_explain.graph import steps as kinds
from keras_explain.graph.inside import Opaque
from keras_explain.graph.masks import get_mask, set_mask
from keras_explain.graph.models import graph_of, is_kept_closed, leave_untouched, view
from keras_explain.graph.program import Program
from keras_explain.graph.steps import Step, Value
from keras_explain.graph.tracing import Tracer

# Layers of Keras whose inside matters: they multiply what they are given with itself.
OPENED = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention,
          keras.layers.Attention, keras.layers.GroupNormalization, keras.layers.Lambda)


def open_steps(program, model, wanted):
    """The program with the steps inside of layers in the place of these layers.

    What cannot be written as steps stays one, and activations that are fused with a layer
    become steps of their own.

    Args:
        program: the traced `model`.
        wanted: which steps, as a function of a step.
    """
    tracer, news = _Opener(), {}
    with leave_untouched(model):
        for step in program.steps:
            args, kwargs = tree.map_structure(
                lambda v: news.get(v, v) if isinstance(v, Value) else v, (step.args, step.kwargs))
            outputs = tracer.inside(step.fn, args, kwargs, step.path, len(step.outputs)) if (
                wanted(step)) else None
            if outputs is None:
                tracer.steps.append(dataclasses.replace(step, args=args, kwargs=kwargs))
            else:
                news.update(zip(step.outputs, tree.flatten(outputs), strict=True))
    outputs = tree.map_structure(lambda v: news.get(v, v), program.outputs)
    steps = [part for step in tracer.steps for part in _without_activation(step)]
    return Program(program.inputs, steps, outputs, program.calls)


def append_function(program, fn, outputs):
    """The program with the steps of a function of its outputs, and the Value that it gives.

    Args:
        fn: it takes the structure `outputs` of Values and gives one tensor.

    Raises:
        ValueError: it cannot be written as steps.
    """
    flat = tree.flatten(outputs)
    given = [keras.Input(batch_shape=v.spec.shape, dtype=v.spec.dtype) for v in flat]
    try:
        symbolic = fn(tree.pack_sequence_as(outputs, given))
        used = keras.Model(given, symbolic)
    except Exception as error:
        raise ValueError(
            "Expected a callable `target` that is written with `keras.ops` and depends on the"
            f" predictions, received {getattr(fn, '__name__', fn)!r}, which cannot be followed."
            " Write it with `keras.ops`, or use `integrated_gradients`."
        ) from error
    _, inner = Program.trace(used)
    news = dict(zip(inner.inputs, flat, strict=True))
    steps = list(program.steps)
    for step in inner.steps:
        args, kwargs = tree.map_structure(
            lambda v: news.get(v, v) if isinstance(v, Value) else v, (step.args, step.kwargs))
        steps.append(dataclasses.replace(step, args=args, kwargs=kwargs))
    (score,) = tree.flatten(inner.outputs)
    return Program(program.inputs, steps, program.outputs, program.calls), news.get(score, score)


class _Opener(Tracer):
    """Looks also into layers that a program has as one step."""

    def inside(self, op, args, kwargs, path, count=None):
        if not _may_be_opened(op) or is_kept_closed():
            return super().inside(op, args, kwargs, path, count)
        mark = len(self.steps), len(self.calls)
        if "training" in kwargs:
            kwargs = {k: v for k, v in kwargs.items() if k != "training"}
        try:
            return self._trace(op, args, kwargs, path, count)
        except Opaque:
            del self.steps[mark[0] :], self.calls[mark[1] :]
            self.settled = min(self.settled, mark[0])
            return None


def _may_be_opened(op):
    if not isinstance(op, keras.layers.Layer) or graph_of(op) is not None:
        return False
    return isinstance(op, OPENED) or not kinds.is_built_in(op)


def split_activation(fn):
    """A layer of Keras with weights without its activation, and that; else `fn` itself and None."""
    activation = getattr(fn, "activation", None)
    if not callable(activation) or activation is keras.activations.linear:
        return fn, None
    if not (kinds.has_weights(fn) and kinds.is_built_in(fn)) or isinstance(
            fn, (keras.layers.RNN, keras.layers.Wrapper)):
        return fn, None
    return view(fn, activation=keras.activations.linear), _KeepingMask(activation)


def _without_activation(step):
    """The step, or two: its layer, and the layer's activation."""
    fn, activation = split_activation(step.fn)
    if activation is None:
        return [step]
    raw = Value(step.outputs[0].spec)
    return [dataclasses.replace(step, fn=fn, outputs=[raw]),
            Step(activation, (raw,), {}, step.outputs, step.path)]


class _KeepingMask:
    """A function of one tensor whose result has the mask of that tensor."""

    def __init__(self, fn):
        self.fn = fn

    def __call__(self, x):
        y = self.fn(x)
        if get_mask(x) is not None and get_mask(y) is None:
            set_mask(y, get_mask(x))
        return y
