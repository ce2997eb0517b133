"""A program whose model leaves sizes free, for inputs of known sizes."""

import keras
from keras import tree

from keras_explain.graph.inside import infer_outputs
from keras_explain.graph.program import Program
from keras_explain.graph.steps import Step, Value


def has_free_sizes(program):
    """Whether an input has an axis, besides the batch, of any size."""
    return any(None in v.spec.shape[1:] for v in program.inputs)


def settle_sizes(program, shapes):
    """The same steps, with the shapes that they give for inputs of known sizes.

    Args:
        program: a Program, as it was traced.
        shapes: of each input, without the batch.

    Returns:
        A Program of its own Values, or None where a step cannot tell the shape of its output.
    """
    inputs = [Value(keras.KerasTensor((None, *shape), v.spec.dtype, name=v.spec.name))
              for v, shape in zip(program.inputs, shapes, strict=True)]
    known, steps = dict(zip(program.inputs, inputs, strict=True)), []

    def fill(x):
        return known[x] if isinstance(x, Value) else x

    try:
        for step in program.steps:
            args, kwargs = tree.map_structure(fill, (step.args, step.kwargs))
            outputs = [Value(spec) for spec in tree.flatten(_infer(step.fn, args, kwargs))]
            known.update(zip(step.outputs, outputs, strict=True))
            steps.append(Step(step.fn, args, kwargs, outputs, step.path))
    except Exception:  # a layer of the user may infer its shape in any way
        return None
    return Program(inputs, steps, tree.map_structure(fill, program.outputs))


def _infer(fn, args, kwargs):
    if hasattr(fn, "compute_output_spec"):
        return infer_outputs(fn, args, kwargs)
    args, kwargs = tree.map_structure(
        lambda v: v.spec if isinstance(v, Value) else v, (args, kwargs))
    return fn(*args, **kwargs)  # an activation, of operations of Keras
