"""A Keras model made cheap to run on many perturbed inputs."""

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops, tree

from keras_explain import backend
from keras_explain.engine.affine import Affine
from keras_explain.engine.folding import bind, fold
from keras_explain.engine.precision import reduce_precision
from keras_explain.graph.probing import equals
from keras_explain.graph.program import Program

SHARE = 1e-4  # of the range of a model's answers, by which its executor may be off


def make_executor(
    model: keras.Model, program: Program | None, precision: str = "float32"
) -> Callable[..., Any] | None:
    """From a batch to the outputs of `model(batch, training=False)`, faster; `None` if it cannot.

    Each BatchNormalization is folded into the layer before it, which halves the time of networks
    of depthwise convolutions.

    Args:
        model: takes over for batches that `program` does not take.
        program: the model as a `Program`, or `None` where it cannot be traced.
        precision: `"float32"`, or `"bfloat16"` for the layers that make maps.
    """
    if program is None or len(program.inputs) != 1:
        return None
    spec, program = program.inputs[0].spec, fold(program)
    linear = [step for step in program.steps if isinstance(step.fn, Affine)]
    is_full = precision == "float32"
    gains = _has_norms if is_full else _makes_maps
    if not any(map(gains, linear)):
        return None
    # Dense layers after the maps are small: they stay in float32.
    work = [(step, 0) for step in program.steps]

    def run(batch):
        leaves = tree.flatten(batch)
        if len(leaves) != 1 or len(leaves[0].shape) != len(spec.shape):
            return model(batch, training=False)
        bound = bind(program) if is_full else reduce_precision(program, work)
        return bound([ops.cast(leaves[0], spec.dtype)])

    return run


def agrees(executor: Callable[..., Any], model: keras.Model, batch: Any) -> bool:
    """Whether an executor answers the first rows of a batch as its model does.

    In a network that hardly lets its numbers through (variances near zero), rounding alone makes
    two ways of computing the same differ.
    """
    if isinstance(executor, functools.partial):  # the model itself
        return True
    rows = tree.map_structure(lambda leaf: ops.convert_to_tensor(leaf[:3]), batch)
    with backend.no_gradient(), keras.StatelessScope():
        found, wanted = executor(rows), model(rows, training=False)
    return all(equals(ops.convert_to_numpy(a), ops.convert_to_numpy(b), SHARE)
               for a, b in zip(tree.flatten(found), tree.flatten(wanted), strict=True))


def _has_norms(step):
    return step.fn.norms or step.fn.kind == "norm"


def _makes_maps(step):
    return len(step.outputs[0].spec.shape) > 2
