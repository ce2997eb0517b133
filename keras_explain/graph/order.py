"""Whether the numbers of an input lie side by side, as pixels and moments do, or are columns.

Columns are each in a unit of its own: their mean, their blur and noise of their range say nothing.
"""

import numpy as np
from keras import ops

from keras_explain.graph.categories import is_category
from keras_explain.graph.probing import random_numbers, to_float64, try_to_run
from keras_explain.graph.tokens import is_tokens

PLACES = (0.25, 0.5, 0.75)  # of an axis, where one number is changed
FREE = 64  # numbers where the model leaves their count free
MOST_STEPS = 24  # that are looked at, from the input on


def are_columns(program, value):
    """Whether an input is a row of a table: numbers that the model does not take in an order.

    One category for each example is one, whether it comes as a number or as a text.
    Inputs of more than one axis have an order. A single axis has one where the model itself makes
    use of it: what it computes first from several numbers at a time follows when the numbers move,
    as windows, frames and recurrent layers do, and the sum of all of a `Dense` layer does not.
    """
    shape = value.spec.shape
    if is_category(program, value):
        return True
    if value.spec.dtype == "string" or len(shape) > 2 or is_tokens(program, value):
        return False
    return len(shape) < 2 or not _follows(program, value)


def _follows(program, value):
    count = FREE if value.spec.shape[1] is None else value.spec.shape[1]
    places = [round(p * (count - 1)) for p in PLACES]
    if len(set(places)) < len(places):
        return False
    inputs = [_make_rows(v, len(places) + 1) for v in program.inputs]
    at = program.inputs.index(value)
    numbers = to_float64(inputs[at])[:1].repeat(len(places) + 1, axis=0)
    numbers[np.arange(len(places)) + 1, places] += 1.0
    inputs[at] = ops.convert_to_tensor(numbers.astype("float32"))
    inputs[at] = ops.cast(inputs[at], value.spec.dtype)
    reached, looked = {value}, 0
    for step in program.steps:
        if not reached.intersection(step.reads) or not step.outputs:
            continue
        reached.update(step.outputs)
        looked += 1
        if hasattr(step.fn, "return_sequences"):
            return True  # a recurrent layer, whose last state tells no order
        found = _find_axis(program, step.outputs[0], inputs, places, count)
        if found is not None or looked == MOST_STEPS:
            return bool(found)
    return False


def _find_axis(program, value, inputs, places, count):
    """Whether a Value follows along an axis; None where it has each number by itself, or none."""
    if "float" not in value.spec.dtype:
        return None
    found = try_to_run(lambda x: program.with_outputs([value])(x)[0], inputs)
    if found is None or found.ndim < 2 or len(found) != len(places) + 1:
        return False
    changed = np.abs(found[1:] - found[:1]) > 1e-7
    if not changed.reshape(len(places), -1).any(axis=1).all():
        return None  # a part of the columns
    for axis in range(1, found.ndim):
        rest = tuple(a for a in range(1, found.ndim) if a != axis)
        lines = changed.any(axis=rest) if rest else changed
        if lines.shape[1] == count and (lines.sum(axis=1) == 1).all():
            return None  # each number by itself
        first = lines.argmax(axis=1)
        last = lines.shape[1] - 1 - lines[:, ::-1].argmax(axis=1)
        middle = first + last
        if (np.diff(middle) > 0).all() and not lines.all():
            return True
    return False


def _make_rows(value, rows):
    one = to_float64(random_numbers(value.spec, free=FREE))[:1] if (
        value.spec.dtype != "string") else None
    if one is None:
        return ops.convert_to_tensor(np.full((rows, *[1] * (len(value.spec.shape) - 1)), ""))
    return ops.cast(ops.convert_to_tensor(one.repeat(rows, axis=0).astype("float32")),
                    value.spec.dtype)
