"""Whether an explainer explains its model: looked at once, with a few rows of real numbers.

The heatmap belongs to a program that was recorded from the model. Whatever recording may miss, a
program that gives other answers than the model is never explained.
"""

import threading

import keras
import numpy as np
from keras import ops, tree

from keras_explain import backend
from keras_explain.data.state import refuse_state, warn_of_randomness
from keras_explain.graph.models import graph_of, keep_closed
from keras_explain.graph.probing import equals
from keras_explain.graph.program import Program

SHARE = 1e-4  # of the range of the answers that rounding may make
FREE = 64  # stands for a size that the model leaves free
SHARE_OF_HALF = 2e-2  # where the model computes in half precision
_lock = threading.RLock()


def check_answers(explainer, arrays):
    """Compare the program of an explainer with its model; change to a closed one if they differ.

    Args:
        explainer: a layer that computes heatmaps. It is asked once, by whichever thread is first.
        arrays: NumPy arrays, as the explained model takes them, flat.

    Returns:
        Whether the explainer was changed.

    Raises:
        ValueError: they differ, and the method has to look inside; or the model keeps state.
    """
    if is_checked(explainer) or not len(arrays[0]) or _is_distributed():
        return False
    with _lock:
        if is_checked(explainer):
            return False
        refuse_state(explainer.question.model, _take_given(explainer, arrays, [0]))
        try:
            rows, answers = _answers(explainer, arrays)
        except Exception:  # what the model itself cannot do with them, Keras speaks of
            return False
        changed = _compare(explainer, rows, answers)
        explainer.__dict__["_compared"] = True
        return changed


def is_checked(explainer):
    """Whether the look was taken."""
    return explainer.__dict__.get("_compared", False)


def _compare(explainer, rows, answers):
    if _differ(explainer, [a[:1] for a in answers], [a[1:2] for a in answers]):
        warn_of_randomness(repr(explainer.model.name), stacklevel=8)
        return False
    if _is_faithful(explainer, rows, answers):
        return False
    if explainer.run_layers_alone() and _is_faithful(explainer, rows, answers):
        return True
    return _close(explainer, rows, answers)


def check_drawn(explainer):
    """The same before an export, where there is no data: with numbers drawn for the inputs.

    Where the model has answered real numbers, or takes strings, nothing is drawn.
    """
    specs = [v.spec for v in explainer.question.program.inputs]
    if any(spec.dtype == "string" for spec in specs):
        return False
    random = np.random.default_rng(0)
    shapes = [(2, *[FREE if n is None else n for n in spec.shape[1:]]) for spec in specs]
    arrays = [random.uniform(size=shape).astype("float32") if "float" in spec.dtype else
              random.integers(0, 2, shape) for spec, shape in zip(specs, shapes, strict=True)]
    return check_answers(explainer, arrays)


def _is_distributed():
    return keras.distribution.distribution() is not None


def _answers(explainer, arrays):
    """The first row twice and the next ones, as flat tensors, and the model's answers, flat."""
    rows = [0, *range(min(len(arrays[0]), 3))][:max(2, getattr(explainer, "batch_size", 4) or 4)]
    given = _take_given(explainer, arrays, rows)
    model = explainer.question.model
    return tree.flatten(given), _run(explainer, lambda *_: model(given, training=False))


def _take_given(explainer, arrays, rows):
    """Some rows as the model is called with them."""
    question = explainer.question
    if question.takes_target:
        arrays = arrays[: len(question.program.inputs)]
    tensors = [_as_the_model_takes(a[rows], v.spec)
               for a, v in zip(arrays, question.program.inputs, strict=True)]
    return tree.pack_sequence_as(question.signature, tensors)


def _as_the_model_takes(array, spec):
    if spec.dtype == "string":
        return ops.convert_to_tensor(array.tolist() if array.dtype.kind in "OU" else array)
    tensor = ops.cast(ops.convert_to_tensor(array), spec.dtype)
    missing = len(spec.shape) - len(tensor.shape)
    return ops.expand_dims(tensor, -1) if missing == 1 else (
        ops.squeeze(tensor, -1) if missing == -1 else tensor)


def _run(explainer, fn):
    """What `fn` returns, flat and as NumPy; it moves no state of the model."""
    with backend.no_gradient(), keras.StatelessScope():
        return [ops.convert_to_numpy(ops.cast(x, "float32") if "float" in str(x.dtype) else x)
                for x in tree.flatten(fn())]


def _differ(explainer, found, wanted):
    half = any(s.outputs[0].spec.dtype in ("float16", "bfloat16")
               for s in explainer.question.program.steps if s.outputs)
    share = SHARE_OF_HALF if half else SHARE
    for a, b in zip(found, wanted, strict=True):
        if a.shape != b.shape or a.dtype.kind not in "fiub":
            return a.shape != b.shape
        if not equals(a, b, share):
            return True
    return False


def _programs(explainer):
    """What the explainer may run: its program, and those made of it to run faster."""
    question = explainer.question
    folded = [p for p in vars(explainer).values() if isinstance(p, Program)
              and p.inputs == question.program.inputs and isinstance(p.outputs, tuple)]
    return [question.program, *folded]


def _is_faithful(explainer, rows, answers):
    for program in _programs(explainer):
        try:
            found = _run(explainer, lambda p=program: p(rows)[1])
        except Exception:
            return False
        if _differ(explainer, found, answers):
            return False
    return True


def _close(explainer, rows, answers):
    """Give the explainer a program in which its model is one step that cannot be looked into."""
    try:
        with keep_closed():
            other = explainer.variant()
    except Exception as error:
        raise ValueError(_message(explainer, rows)) from error
    if other.heatmap_shapes() != explainer.heatmap_shapes() or not _is_faithful(
            other, rows, answers):
        raise ValueError(_message(explainer, rows))
    common = vars(keras.layers.Layer()).keys() | {"_compared", "model"}
    vars(explainer).update((k, v) for k, v in vars(other).items() if k not in common)
    explainer.__dict__["stays_closed"] = True
    return True


def _message(explainer, rows):
    place = _first_difference(explainer, rows)
    return (
        f"Expected the recorded steps of {explainer.model.name!r} to answer as the model does,"
        f" received other answers, first at {place}. Use `occlusion`, which need not look"
        " inside, or write that layer with `keras.ops` and layers only."
    )


def _first_difference(explainer, rows):
    """Words for the first layer of the model whose output the program gives otherwise."""
    model, program = explainer.model, explainer.question.program
    graph = graph_of(model)
    if graph is None:
        return f"{model.name!r} itself"
    calls, given = {}, tree.pack_sequence_as(explainer.question.signature, rows)
    for call in program.calls:
        calls.setdefault(id(call.layer), []).append(call)
    known = program.ancestors(tree.flatten(program.outputs))
    called = [(layer, calls[id(layer)][0]) for layer in graph.layers
              if len(calls.get(id(layer), [])) == 1]
    called = [(layer, call) for layer, call in called if known.issuperset(call.outputs)]
    symbols = [tree.flatten(layer.output) for layer, _ in called]
    values = [list(call.outputs) for _, call in called]
    try:
        wanted = iter(_run(explainer, lambda: keras.Model(
            graph.inputs, tree.flatten(symbols))(given, training=False)))
        answers = iter(_run(explainer, lambda: program.with_outputs(tree.flatten(values))(rows)))
    except Exception:
        return "its answer"
    for (_, call), outputs in zip(called, values, strict=True):
        if _differ(explainer, [next(answers) for _ in outputs], [next(wanted) for _ in outputs]):
            return f"layer {call.path!r}"
    return "its answer"
