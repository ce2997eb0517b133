"""Attention weights in a program: where they are, told by what the steps compute."""

import dataclasses
import math

from keras import ops

from keras_explain.engine.holding.trial import ROWS
from keras_explain.graph import steps as kinds
from keras_explain.graph.probing import to_float64
from keras_explain.graph.program import Program
from keras_explain.graph.steps import Step, Value
from keras_explain.graph.tokens import MOVES

FUSED = "DotProductAttention"  # Keras's operation that keeps its weights to itself
PRODUCTS = ("Einsum", "Matmul", "Dot", "Tensordot")
NEAR = 2e-2  # of one, what half precision leaves of a sum


@dataclasses.dataclass(frozen=True, eq=False)
class Weights:
    """The attention weights of one layer.

    Args:
        path: of the step that makes them.
        value: their Value in the program, of shape (N, T, S), (N, heads, T, S) or, by
            groups of heads, (N, groups, heads, T, S).
        shape: (heads, T, S) as they were on a trial input; where the model leaves a size free,
            a number of the trial stands for it.
        weighed: the Values that they weigh.
    """

    path: str
    value: Value
    shape: tuple
    weighed: tuple


def unfuse(program):
    """The program in which fused attention is two steps: the weights, and what they weigh."""
    steps = []
    for step in program.steps:
        if kinds.kind(step.fn) != FUSED:
            steps.append(step)
            continue
        query, spec = step.args[0], step.outputs[0].spec
        shape = (spec.shape[0], query.spec.shape[2], query.spec.shape[1],
                 step.args[1].spec.shape[1])
        weights = Value(type(spec)(shape, spec.dtype))
        steps.append(Step(WeightsOf(step.fn), step.args, step.kwargs, [weights], step.path))
        steps.append(Step(weigh, (weights, step.args[2]), {}, step.outputs, step.path))
    return Program(program.inputs, steps, program.outputs, program.calls)


def find_weights(program, numbers, unsure=()):
    """The `Weights` of an opened and unfused program, in the order of its steps.

    Attention weights are not negative, sum to one over the last axis, and weigh by a product
    what depends on the input too.

    Args:
        program: the program.
        numbers: of all of its Values, of a `Trial`.
        unsure: Values of which it is not known what they are made of.

    Raises:
        ValueError: attention within windows.
    """
    found, varying = [], {*program.inputs, *unsure}
    for step in program.steps:
        if varying.intersection(step.reads):
            varying.update(step.outputs)
    for k, step in enumerate(program.steps):
        value = step.outputs[0] if len(step.outputs) == 1 else None
        if value not in varying or len(value.spec.shape) not in (3, 4, 5):
            continue
        kind = kinds.kind(step.fn)
        if isinstance(step.fn, WeightsOf) or _sums_to_one(numbers[value]) and (
                kind not in PRODUCTS and not kind.startswith(MOVES)):
            weighed = _find_weighed(value, program.steps[k + 1 :], varying)
            if not weighed:
                continue
            shape = tuple(numbers[value].shape)
            found.append(Weights(step.path or kind, value, (
                math.prod(shape[1:-2]), *shape[-2:]), weighed))
            if shape[0] != ROWS:
                raise ValueError(
                    f"Expected attention over a whole input, received {step.path!r}, which attends"
                    " within windows that are folded into the batch. Use `local_linear` or"
                    " `occlusion`.")
    return found


def _sums_to_one(numbers):
    """Whether rows sum to one, or to zero, as those of padding may."""
    numbers = to_float64(numbers)
    if not numbers.size or numbers.shape[-1] < 2 or numbers.min() < 0:
        return False
    sums = numbers.sum(axis=-1)
    one = abs(sums - 1) < NEAR
    return bool(one.any() and (one | (sums == 0)).all())


def _find_weighed(value, steps, varying):
    """What a product takes with a Value, moved at most, and depends on the input too."""
    moved = {value}
    for step in steps:
        reads = moved.intersection(step.reads)
        if not reads:
            continue
        kind = kinds.kind(step.fn)
        if kind in PRODUCTS or step.fn is weigh:
            return tuple(v for v in step.reads if v in varying and v not in moved)
        if kind.startswith(MOVES):
            moved.update(step.outputs)
    return ()


class WeightsOf:
    """The weights (N, heads, T, S) of a fused attention: what it gives for rows of an identity.

    Attention is linear in what it weighs, so these come from the operation itself, with all of
    its masks, biases and scales.
    """

    def __init__(self, fn):
        self.fn = fn

    def __call__(self, query, key, value, *args, **kwargs):
        count, width = ops.shape(value)[1], value.shape[-1]
        options = {name: v for name, v in kwargs.items() if name != "flash_attention"}
        eye = ops.cast(ops.eye(count), value.dtype)
        starts = range(0, count, width) if isinstance(count, int) else [None]
        found = []
        for start in starts:  # as wide as the values are, which some backends ask for
            part = eye if start is None else ops.pad(
                eye, ((0, 0), (0, width)))[:, start : start + width]
            part = ops.broadcast_to(
                part[None, :, None, :], (*ops.shape(value)[:3], ops.shape(part)[-1]))
            found.append(self.fn(query, key, part, *args, **options))
        found = ops.concatenate(found, axis=-1)[..., :count]
        return ops.transpose(found, (0, 2, 1, 3))


def weigh(weights, value):
    """What a fused attention makes of its weights (N, heads, T, S)."""
    return ops.einsum("nhts,nshd->nthd", weights, value)


def as_heads(weights):
    """Weights (N, ..., T, S) as (N, heads, T, S), float32; groups of heads are heads."""
    rows, columns = ops.shape(weights)[-2:]
    heads = math.prod(weights.shape[1:-2])
    return ops.reshape(ops.cast(weights, "float32"), (-1, heads, rows, columns))
