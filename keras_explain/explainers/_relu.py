"""Which functions are a ReLU, and which steps compute one inside: told by what they do."""

import dataclasses

import keras
import numpy as np
from keras import ops, tree

from keras_explain.graph import steps as kinds
from keras_explain.graph.models import inner_layers
from keras_explain.graph.probing import random_numbers, try_to_run
from keras_explain.graph.steps import Value

# Exact in each float type, on both sides of zero and of six.
_LINE = np.arange(-4.0, 10.125, 0.125, dtype="float32")
FREE = 24  # stands for a size that the model leaves free
POINTS = 33  # of a line through the inputs, along which a kink is looked for
SHARP = 8.0  # how much a kink bends more than the line beside it


def is_relu(fn):
    """Whether a function of numbers, or a layer, is max(x, 0), or that up to a ceiling."""
    if isinstance(fn, keras.layers.ReLU):
        return not fn.negative_slope
    if not callable(fn) or _is_other(fn):
        return False
    found = try_to_run(fn, ops.convert_to_tensor(_LINE[:, None]))
    if found is None or found.shape != (len(_LINE), 1):
        return False
    ceiling = found.max()
    return ceiling > 0.5 and np.array_equal(found[:, 0], np.clip(_LINE, 0, ceiling))


def hides_relu(step):
    """Whether a step computes a ReLU somewhere inside, as far as its numbers tell.

    The code of Keras is known. What users write is tried out: it bends sharply somewhere on a
    line through its inputs, and is nothing else that bends (a maximum of neighbors, an absolute
    value, a clip to a range, a leaky ReLU).
    """
    step = kinds.see_inside_frames(step)
    activation, made = getattr(step.fn, "__dict__", {}).get("activation"), step.outputs[:1]
    if callable(activation) and made and hides_relu(
            dataclasses.replace(step, fn=activation, args=tuple(made), kwargs={}, outputs=made)):
        return True
    values = [v for v in dict.fromkeys(step.reads) if "float" in v.spec.dtype]
    if _is_known(step.fn) or not values or not all("float" in v.spec.dtype for v in step.outputs):
        return False
    tried = _Tried(step, values)
    if tried.is_pointwise():
        return tried.ends_flat_once()
    if not tried.has_kink():
        return False
    here = tried(lambda x: x)
    return not (_equal(tried(lambda x: x + 1), here + 1) or _equal(tried(lambda x: -x), here))


def _is_other(fn):
    """What Keras itself calls otherwise, and layers with weights."""
    if isinstance(fn, keras.layers.Layer) and kinds.has_weights(fn):
        return True
    open_to_any = isinstance(fn, (keras.layers.Lambda, keras.layers.Activation))
    made = isinstance(fn, (keras.layers.Layer, keras.Operation)) and kinds.is_of_keras(fn)
    return made and not open_to_any and "relu" not in kinds.kind(fn).lower()


def _is_known(fn):
    """Whether all code that runs there is that of Keras."""
    if not isinstance(fn, (keras.layers.Layer, keras.Operation)):
        own = getattr(fn, "__module__", None) or type(fn).__module__
        return own.startswith(("keras.", "keras_explain."))
    return all(kinds.is_of_keras(x) and not isinstance(x, keras.layers.Lambda)
               for x in [fn, *inner_layers(fn)])


class _Tried:
    """A step on random numbers that move.

    Args:
        step: its fn runs, with no state moved.
        values: the Values, of those it reads, that move.
    """

    def __init__(self, step, values):
        self.step, self.values = step, values
        self.numbers = {v: random_numbers(v.spec, free=FREE) for v in dict.fromkeys(step.reads)}

    def __call__(self, move):
        """All that the step gives, flat, where its float inputs are `move(x)`; None: it fails."""
        numbers = {v: move(x) if v in self.values else x for v, x in self.numbers.items()}
        args, kwargs = tree.map_structure(
            lambda v: numbers[v] if isinstance(v, Value) else v,
            (self.step.args, self.step.kwargs))
        return try_to_run(lambda: ops.concatenate(
            [ops.reshape(y, (-1,)) for y in tree.flatten(self.step.fn(*args, **kwargs))]))

    def is_pointwise(self):
        """Whether each number of the output is a function of the number at its place."""
        x = self.numbers[self.values[0]]
        if len(self.numbers) != 1 or len(self.step.outputs) != 1 or (
                self.step.outputs[0].spec.shape != self.values[0].spec.shape):
            return False
        keeps = np.random.default_rng(2).random(size=tuple(x.shape)) < 0.5
        one, other = self(lambda x: x), self(lambda x: ops.where(keeps, x, x * 0.5 + 1))
        keeps = keeps.reshape(-1)
        return one is not None and one.shape == keeps.shape and other is not None and (
            _equal(one[keeps], other[keeps]))

    def ends_flat_once(self):
        """Whether a function of numbers is constant on one side and not on the other."""
        sides = []
        for low in (-4.0, 2.0):
            ends = [self(lambda x, at=at: ops.full_like(x, at)) for at in (low, low + 1, low + 2)]
            if any(y is None for y in ends):
                return False
            sides.append(np.ptp(np.stack(ends), axis=0) <= 1e-6)
        return bool((sides[0] != sides[1]).any())

    def has_kink(self):
        """Whether the step bends at one point of a line, from near by as well."""
        middle, width = 0.0, 1.0
        for _ in range(2):
            line = self._line(middle, width)
            if line is None:
                return False
            bend = np.abs(line[:-2] - 2 * line[1:-1] + line[2:])
            beside = np.maximum(np.stack([bend[:-4], bend[4:]]).max(axis=0),
                                1e-4 * width * np.abs(line).max() + 1e-7)
            sharp = bend[2:-2] / beside
            if sharp.max(initial=0) < SHARP:
                return False
            at = np.unravel_index(sharp.argmax(), sharp.shape)[0] + 3
            middle, width = middle + np.linspace(-width, width, POINTS)[at], width / 8
        return True

    def _line(self, middle, width):
        rng = np.random.default_rng(1)
        directions = {id(x): rng.normal(size=tuple(x.shape)) for x in self.numbers.values()}
        line = [self(lambda x, t=t: x + ops.cast(t * directions[id(x)], x.dtype))
                for t in np.linspace(middle - width, middle + width, POINTS)]
        return None if any(y is None for y in line) else np.stack(line)


def _equal(a, b):
    return a is not None and a.shape == b.shape and np.allclose(a, b, atol=1e-4, rtol=1e-4)
