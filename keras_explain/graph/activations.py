"""What an activation computes: softmax and sigmoid, told by what they do to random numbers.

A softmax gives positive numbers that sum to one along an axis and whose logarithms are the numbers
before it, up to a constant and a factor; a log-softmax is the logarithm of that; a sigmoid is
known by its inverse. Whose function it is and how it is called does not count.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from keras import ops

from keras_explain.graph import steps as kinds
from keras_explain.graph.masks import CARRIERS
from keras_explain.graph.probing import random_numbers, to_float64, tolerance, try_to_run
from keras_explain.graph.program import Program


class Activation(NamedTuple):
    """A softmax or sigmoid of `scale` times its argument plus `shift`."""

    kind: str
    scale: float = 1.0
    shift: float = 0.0


def make_runner(steps, before, after):
    """What `steps` compute of the Value `before`, as a function of a tensor."""
    steps = [dataclasses.replace(s, fn=_first, args=s.args[:1], kwargs={})
             if kinds.kind(s.fn) in CARRIERS else s for s in steps]
    return lambda x: Program([before], steps, after)([x])


def _first(x):
    return x


def find_activation(fn, before, after):
    """The `Activation` that `fn` computes from the Value `before`, or None."""
    if before.spec.shape != after.spec.shape or "float" not in before.spec.dtype:
        return None
    x = random_numbers(before.spec)
    y = try_to_run(fn, x)
    x, near = to_float64(x), tolerance(before, after)
    if y is None or y.shape != x.shape or not np.isfinite(y).all():
        return None
    logs = _logarithms(y)
    for axis in range(1, x.ndim) if logs is not None else ():
        if x.shape[axis] > 1 and np.abs(np.exp(logs).sum(axis) - 1).max() < near:
            scale = _slope(_center(x, axis), _center(logs, axis), near)
            return Activation("softmax", scale) if scale else None
    if ((0 < y) & (y < 1)).all():
        logits = np.log(y) - np.log1p(-y)
        scale = _slope(x - x.mean(), logits - logits.mean(), near)
        shift = logits.mean() - (scale or 0) * x.mean()
        if scale:
            return Activation("sigmoid", scale, 0.0 if abs(shift) < near else float(shift))
    return None


def _logarithms(y):
    """log(y) of probabilities; what can be logarithms of probabilities comes back as it is."""
    if (y > 0).all():
        return np.log(y)
    return y if (y <= 0).all() else None


def _center(x, axis):
    return x - x.mean(axis=axis, keepdims=True)


def _slope(x, y, near):
    """The positive `a` for which y is a * x; None where there is none."""
    slope = float((x * y).sum() / max((x * x).sum(), 1e-12))
    if slope <= 0 or np.abs(y - slope * x).max() > near * np.abs(y).max():
        return None
    return 1.0 if abs(slope - 1) < near else slope


def only_moves(steps, before, after):
    """Whether steps move numbers and change none: then they do the same to their logarithms."""
    if not steps:
        return True
    if "float" not in before.spec.dtype:
        return False
    run, shape = make_runner(steps, before, after), random_numbers(before.spec).shape
    logs = np.log(np.random.default_rng(1).uniform(0.05, 1, shape))
    moved = try_to_run(run, ops.convert_to_tensor(logs, before.spec.dtype))
    other = try_to_run(run, ops.convert_to_tensor(np.exp(logs), before.spec.dtype))
    return moved is not None and other is not None and bool((other > 0).all()) and np.allclose(
        moved, np.log(other), atol=4 * tolerance(before, after))


def is_over_classes(found, ends, before, axis):
    """Whether the probabilities of a softmax sum to one along the axis of the classes."""
    if found.kind == "sigmoid":
        return True
    end, move = ends
    y = try_to_run(lambda x: move(end(x)), random_numbers(before.spec))
    logs = None if y is None or axis >= y.ndim else _logarithms(y)
    near = tolerance(before)
    return logs is not None and bool((np.abs(np.exp(logs).sum(axis) - 1) < near).all())
