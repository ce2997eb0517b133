"""Steps that no call of the user's made: casts, variables, constants, sizes of the batch."""

import math

import keras
from keras import ops

from keras_explain.graph.inside import Opaque
from keras_explain.graph.masks import get_mask, set_mask
from keras_explain.graph.models import view


class InputCast:
    """Casts as a layer call does to its arguments.

    A float copy of an integer input stays as it is, so that it can be differentiated.
    """

    def __init__(self, dtype, casts_floats):
        self.dtype, self.casts_floats = dtype, casts_floats

    def __call__(self, x):
        mask, dtype = get_mask(x), keras.backend.standardize_dtype(x.dtype)
        if dtype == self.dtype or "float" in dtype and not self.casts_floats:
            return x
        x = ops.cast(x, self.dtype)
        if mask is not None:
            set_mask(x, mask)
        return x


class VariableValue:
    """The value of a variable, cast as a layer of another precision casts its own."""

    def __init__(self, variable, dtype):
        self.variable, self.dtype = variable, dtype

    def __call__(self):
        return ops.cast(self.variable, self.dtype)


class ConstantValue:
    """Numbers that depend on nothing."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __call__(self):
        return self.tensor


class _ForAnyBatch(keras.Operation):
    """An operation whose shape begins with the number of rows of a tensor."""

    def __init__(self, op, attribute, shape, spec):
        super().__init__(name=op.name)
        self.op, self.attribute, self.shape, self.spec = op, attribute, shape, spec

    def call(self, rows, *args, **kwargs):
        shape = (ops.shape(rows)[0], *self.shape[1:])
        return view(self.op, **{self.attribute: shape}).call(*args, **kwargs)

    def compute_output_spec(self, rows, *args, **kwargs):
        return self.spec


def free_batch(node, args, inputs):
    """(operation, arguments) of a node, without the None that stands for the batch in a shape.

    `ops.reshape(x, (ops.shape(x)[0], ...))` was recorded with None; -1 says the same. For others
    the first of the `inputs` tells the number of rows.
    """
    op = node.operation
    if isinstance(op, keras.layers.Layer):
        return op, args
    shapes = {name: v for name, v in vars(op).items()
              if isinstance(v, (list, tuple)) and any(n is None for n in v)}
    if not shapes:
        return op, args
    (name, (batch, *rest)), *more = shapes.items()
    if more or batch is not None or None in rest or not inputs:
        raise Opaque
    source = node.input_tensors[0].shape[1:]
    if name == "newshape" and None not in source:
        size = math.prod(source) // math.prod(n for n in rest if n != -1)
        return view(op, newshape=(-1, *[size if n == -1 else n for n in rest])), args
    spec = keras.KerasTensor(node.outputs[0].shape, node.outputs[0].dtype)
    return _ForAnyBatch(op, name, (batch, *rest), spec), (inputs[0], *args)
