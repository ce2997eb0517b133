"""What ends a model: a softmax or a sigmoid, by any name, told by what it computes.

The last steps of a program are run on random numbers, and `activations` says what they compute.
So it counts neither whose function it is nor how it is called.
"""

import dataclasses

import keras
import numpy as np
from keras import ops

from keras_explain.graph import steps as kinds
from keras_explain.graph.activations import (
    find_activation,
    is_over_classes,
    make_runner,
    only_moves,
)
from keras_explain.graph.masks import CARRIERS
from keras_explain.graph.precision import (
    HALF,
    append_step,
    find_innermost,
    float32_face,
    in_float32,
    see_with,
)
from keras_explain.graph.probing import random_numbers, tolerance, try_to_run
from keras_explain.graph.program import Program
from keras_explain.graph.steps import Step, Value

MOST_STEPS = 24  # how far to look back: what ends a model is near its end
SCALES = (1.0, 100.0, 1e4)  # of random inputs
SMALLEST = 1e-30  # of a probability, so that its logarithm is finite


def before_activation(program, value):
    """The score before the final softmax or sigmoid: (program, value, "softmax" or "sigmoid").

    The user's layer stays as it is: a view of it shares its variables. What only reshapes,
    casts or picks after the activation is done to the logits too. Where a softmax or sigmoid
    is inside a layer that cannot be looked into, the logits come from the probabilities: their
    logarithms less the mean over the classes, which are the logits up to a constant for each
    example, or for a sigmoid log(p / (1 - p)). Where nothing of the kind ends the model,
    `value` itself comes back, with None.

    What computes in half precision just before is computed in float32: rounded, a score would
    hide small changes.
    """
    axis, cuts = program.channel_axis(value), _cuts(program, value)
    for j, (after, tail) in enumerate(cuts):
        if not only_moves(tail, after, value):
            break
        move = make_runner(tail, after, value)
        for before, steps in reversed(cuts[j + 1 :]):  # z rather than z - max(z)
            end = make_runner(steps[: len(steps) - len(tail)], before, after)
            found = find_activation(end, before, after)
            if found and is_over_classes(found, (end, move), before, axis):
                return *_continue(*in_float32(program, before), tail, after, found), found.kind
        found, linear = _find_fused(program, after)
        if found:
            end = find_innermost(program.producer(after).fn).activation
            if is_over_classes(found, (end, move), after, axis):
                split = _without_activation(program, after, linear)
                return *_continue(*split, tail, after, found), found.kind
    kind = _kind_of_answers(program, value, axis, cuts[-1])
    if kind is None:
        return *in_float32(program, value), None
    return *append_step(program, _FromProbabilities(kind, axis), value, value.spec.shape), kind


class _Scaled:
    """x * scale + shift."""

    def __init__(self, scale, shift):
        self.scale, self.shift = scale, shift

    def __call__(self, x):
        return x * self.scale + self.shift


class _FromProbabilities:
    """Logits from probabilities, up to a constant for each example."""

    def __init__(self, kind, axis):
        self.kind, self.axis = kind, axis

    def __call__(self, p):
        p = ops.cast(p, "float32")
        logs = ops.log(ops.maximum(p, SMALLEST))
        if self.kind == "softmax":
            return logs - ops.mean(logs, axis=self.axis, keepdims=True)
        return logs - ops.log(ops.maximum(1.0 - p, 2.0**-25))


# Where to look --------------------------------------------------------------------------------


def _cuts(program, value):
    """Values that all of `value` is computed from, nearest first, and the steps from there.

    The first is `value` itself; the last one is not computed by a step without weights, or is
    all that the few last steps of the program tell.
    """
    cuts, between, pending = [(value, [])], [], [value]
    for step in reversed(program.steps):
        if not set(pending).intersection(step.outputs):
            continue
        if len(step.outputs) > 1 or len(between) == MOST_STEPS or kinds.has_weights(step.fn):
            break
        between.insert(0, step)
        reads = step.reads[:1] if kinds.kind(step.fn) in CARRIERS else step.reads
        pending = list(dict.fromkeys([*(v for v in pending if v not in step.outputs), *reads]))
        if len(pending) == 1:
            cuts.append((pending[0], list(between)))
    return cuts


def _kind_of_answers(program, value, axis, last):
    """"softmax" or "sigmoid" where all answers are probabilities of classes, or None.

    Told by answers to random inputs, or to random numbers behind a dense layer or convolution.
    That answers sum to one is no accident. That they lie between 0 and 1 may be one, so for a
    sigmoid they must come close to 0 or 1 as the inputs become large.
    """
    before, steps = last
    if program.producer(value) is None or "float" not in value.spec.dtype:
        return None
    made = program.producer(before)
    if made is not None and _is_product(made.fn):
        if not steps and made.fn.activation is keras.activations.linear:
            return None
        end, inputs = make_runner(steps, before, value), [before]
        run = lambda x: end(made.fn.activation(x))  # noqa: E731
    else:
        whole, inputs = program.with_outputs(value), program.inputs
        run = lambda *x: whole(x)  # noqa: E731
    if "string" in [v.spec.dtype for v in inputs]:
        return None
    answers = [try_to_run(run, *[random_numbers(v.spec, 32, scale) for v in inputs])
               for scale in SCALES]
    if any(y is None or not np.isfinite(y).all() or y.min() < 0 or y.max() > 1 + 1e-3
           for y in answers) or all(np.ptp(y) == 0 for y in answers):
        return None
    near, axes_of_all = tolerance(value), tuple(range(1, answers[0].ndim))

    def sums_to_one(axes):
        return all(np.abs(y.sum(axes) - 1).max() < near for y in answers)

    if axis in axes_of_all and answers[0].shape[axis] > 1 and sums_to_one(axis):
        return "softmax"
    ends = np.minimum(answers[-1], 1 - answers[-1]).max() < 0.01
    if not ends or any(map(sums_to_one, [*axes_of_all, axes_of_all])):
        return None
    return "sigmoid" if all("float" in v.spec.dtype for v in inputs) else None


# An activation that is fused with a layer -----------------------------------------------------


def _find_fused(program, value):
    """The activation in which a layer with weights ends, and the layer without; None, None."""
    step = program.producer(value)
    layer = step and find_innermost(step.fn)
    activation = getattr(layer, "activation", None)
    if not callable(activation) or activation is keras.activations.linear:
        return None, None
    if not kinds.has_weights(step.fn) or isinstance(layer, keras.layers.RNN):
        return None, None
    found = find_activation(activation, value, value)
    linear = see_with(step.fn, activation=keras.activations.linear)
    if found is None or not (_is_product(step.fn) or _follows(activation, linear, step)):
        return None, None
    return found, linear


def _is_product(fn):
    """Whether Keras itself computes activation(kernel * x + bias) there."""
    return (kinds.has_weights(fn) and kinds.is_built_in(fn) and hasattr(fn, "activation")
            and not isinstance(fn, (keras.layers.Wrapper, keras.layers.RNN)))


def _follows(activation, linear, step):
    """Whether the step is `activation` of what `linear` computes."""
    if len(step.reads) != 1:
        return False
    x, training = random_numbers(step.reads[0].spec), step.kwargs.get("training")
    options = {} if training is None else {"training": training}
    whole = try_to_run(lambda x: step.fn(x, **options), x)
    parts = try_to_run(lambda x: activation(linear(x, **options)), x)
    return whole is not None and parts is not None and whole.shape == parts.shape and (
        np.allclose(whole, parts, atol=tolerance(step.outputs[0])))


def _without_activation(program, value, linear):
    """The program with `linear` in place of the layer that makes `value`, and its output."""
    step = program.producer(value)
    if not _is_product(step.fn) or value.spec.dtype in HALF:  # predictions stay the layer's own
        return append_step(program, float32_face(linear), step.reads[0], value.spec.shape, step)
    raw, at = Value(value.spec), program.steps.index(step)
    steps = [*program.steps[:at], dataclasses.replace(step, fn=linear, outputs=[raw]),
             Step(step.fn.activation, (raw,), {}, [value], step.path), *program.steps[at + 1 :]]
    return Program(program.inputs, steps, program.outputs, program.calls), raw


def _continue(program, raw, tail, after, found):
    """The steps `tail` once more, on logits in place of the Value `after`."""
    if (found.scale, found.shift) != (1.0, 0.0):
        program, raw = append_step(program, _Scaled(found.scale, found.shift), raw, raw.spec.shape)
    news = {after: raw}
    for step in tail:
        read = next(v for v in step.reads if v in news)
        if kinds.kind(step.fn) in ("Cast", "InputCast"):
            news[step.outputs[0]] = news[read]  # logits are float32 already
            continue
        program, news[step.outputs[0]] = append_step(
            program, float32_face(step.fn), news, step.outputs[0].spec.shape, step)
    return program, news[tail[-1].outputs[0]] if tail else raw
