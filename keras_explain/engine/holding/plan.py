"""Which steps of a program are held, and how: from the score back to the input.

Only steps that a gradient reaches matter. Where two things that depend on the input are
multiplied, the one that is a gate is held, so that nothing is asked of how it was computed:
attention weights and their softmax, a deviation, a sigmoid.
"""

import dataclasses
import functools

import keras
from keras import ops, tree

from keras_explain.engine.holding import kinds as found
from keras_explain.engine.holding.held import POINTS, WEIGHTS, Held
from keras_explain.engine.holding.inside import HeldInside, record
from keras_explain.engine.holding.trial import Trial, Tried
from keras_explain.graph import steps as kinds
from keras_explain.graph.program import Program
from keras_explain.graph.steps import Step, Value

GATE, ACTIVATED, SMALLER = 8, 4, 1  # how sure it is that a factor is the gate


def hold_gates(program, cut, scored):
    """The program, linear in its Values `cut` at each point, and the Value `one`.

    Args:
        program: traced, and opened where layers multiply what they are given with itself.
        cut: the Values that stay linear.
        scored: the Value that is differentiated.

    Raises:
        ValueError: a step has no gate that can be held; it is named.
    """
    return _Plan(program, cut, scored).program()


class _Plan:
    def __init__(self, program, cut, scored):
        self.whole, self.cut = program, tuple(cut)
        self.trial = Trial(program, self.cut)
        self.makers, self.derived, self.moving = {}, set(cut), set(cut)
        self._follow(program.steps)
        self.one = Value(keras.KerasTensor(program.inputs[0].spec.shape[:1], "float32"))
        self.needed, self.steps, self.unsure = {scored}, [], []

    def program(self):
        for step in reversed(self.whole.steps):
            self.steps.append(self._hold(step))
        first = Step(_ones, (self.whole.inputs[0],), {}, [self.one])
        return Program(self.whole.inputs, [first, *self.steps[::-1]], self.whole.outputs,
                       self.whole.calls), self.one

    def _follow(self, steps):
        """Note which Values depend on the input, and which of them are floats that move."""
        for step in steps:
            self.makers.update((v, step) for v in step.outputs)
            if set(step.outputs) & set(self.cut):
                continue
            if self.derived.intersection(step.reads):
                self.derived.update(step.outputs)
            if self.moving.intersection(step.reads):
                self.moving.update(v for v in step.outputs if "float" in v.spec.dtype)

    def _hold(self, step):
        """The step, held where a gradient comes by."""
        outputs = set(step.outputs)
        moving = self._places(step, self.moving)
        if not outputs & self.needed or outputs & set(self.cut) or not moving:
            return step
        if any(step is s for s in self.unsure):
            raise ValueError(self._unknown(step))
        try:
            held = self._choose(step, moving)
        except ValueError:
            inner = record(self.trial, step)
            if inner is None:
                raise
            held = self._hold_inside(step, *inner)
        else:
            leaves = tree.flatten((step.args, step.kwargs))
            self.needed.update(leaves[p] for p in held.kept)
            held.held = tuple(p for p in moving if p not in held.kept)
            held.rows = self.trial.rows(step.outputs[0])
        return dataclasses.replace(step, fn=held, args=(self.one, *step.args))

    def _hold_inside(self, layer, steps, outputs, unsure):
        """The layer of a step, with the steps inside of it held."""
        self.unsure += unsure
        self._follow(steps)
        self.needed.update(inner for inner, outer in zip(outputs, layer.outputs, strict=True)
                           if outer in self.needed and inner is not None)
        rules = {}
        for number, step in reversed(list(enumerate(steps))):
            held = self._hold(step).fn
            if held is not step.fn:
                rules[number] = held
        return HeldInside(layer.fn, rules, [type(s.fn) for s in steps])

    def _try(self, step, places, drawn=()):
        needed = self.needed.intersection(step.outputs)
        return Tried(self.trial, step, places, needed or None, drawn)

    def _places(self, step, among):
        """Where, in its flat arguments, a step reads Values of a set."""
        leaves = tree.flatten((step.args, step.kwargs))
        return [p for p, v in enumerate(leaves) if isinstance(v, Value) and v in among]

    # How one step is held ---------------------------------------------------------------------

    def _choose(self, step, moving):
        fn = step.fn
        if len(moving) == 1 and found.is_known_linear(fn):
            return Held(fn, moving, offset=_bias(fn))
        tried = self._try(step, moving)
        if found.is_affine(tried) or found.is_straight(tried):
            return self._make(step, moving, "own")
        if len(moving) == 1:
            return self._alone(step, moving, tried)
        linear = [p for p in moving if found.is_affine(
            self._try(step, [p], [q for q in moving if q != p]))]
        if not linear:
            return self._average(step, moving)
        if len(linear) > 1 and not found.is_affine(self._try(step, linear)):
            chosen = self._without_gates(step, linear)
            if chosen is None and set(linear) == set(moving):
                return self._make(step, moving, "share")
            linear = chosen or linear[:1]
        return self._make(step, linear, "own")

    def _alone(self, step, moving, tried):
        if found.is_pointwise(tried):
            return self._make(step, moving, "ratio")
        center = found.find_center(tried)
        if center is not None:
            held = self._make(step, moving, "scale")
            held.center = center
            return held
        return self._average(step, moving)

    def _average(self, step, moving):
        if kinds.has_weights(step.fn) or not kinds.is_of_keras(step.fn) or not found.averages(
                self._try(step, moving), POINTS, WEIGHTS):
            raise ValueError(self._unknown(step))
        return self._make(step, moving, "mean")

    def _make(self, step, kept, way):
        """The held step; where what it gives at zero hides what depends on the input, an error."""
        tried = self._try(step, kept)
        zero = tried(*tried.zeros())
        if zero is None:
            raise ValueError(self._unknown(step))
        others = [p for p in self._places(step, self.derived) if p not in kept]
        for place in others:
            now = self.trial.numbers[tree.flatten((step.args, step.kwargs))[place]]
            turned = tried(*tried.zeros(), fixed={place: ops.flip(now, axis=0)})
            if not tried.equal(zero, turned) and way != "share":
                raise ValueError(self._unknown(step))
        weights = kinds.has_weights(step.fn)
        some = bool(abs(zero).max(initial=0) > 0) or weights
        alone = not any(self.whole.is_per_example(v) for v in step.reads
                        if v not in {tree.flatten((step.args, step.kwargs))[p] for p in kept})
        return Held(step.fn, kept, way=way, offset="zeros" if some else None,
                    small=way == "ratio" and not weights, alone=alone)

    # Which factor is the gate -----------------------------------------------------------------

    def _without_gates(self, step, places):
        """Of the factors of a product those that are no gate; None where that cannot be told."""
        leaves = tree.flatten((step.args, step.kwargs))
        sizes = {p: found.numel(self.trial, leaves[p]) for p in places}
        sure = {p: self._gate(leaves[p]) + SMALLER * (sizes[p] < max(sizes.values()))
                for p in places}
        order, kept = sorted(places, key=sure.get), []
        for place in order:
            if not kept or found.is_affine(self._try(step, [*kept, place])):
                kept.append(place)
        rest = [p for p in places if p not in kept]
        return kept if max(sure[p] for p in kept) < min(sure[p] for p in rest) else None

    @functools.cache  # noqa: B019 - a plan lives as long as it is made
    def _gate(self, value):
        """How much a Value looks like a gate: out of a softmax or sigmoid, or of an activation."""
        step = self.makers.get(value)
        moving = [] if step is None or value in self.cut else self._places(step, self.moving)
        if len(moving) != 1 or kinds.has_weights(step.fn):
            return 0
        tried = Tried(self.trial, step, moving, {value})
        if found.is_affine(tried):
            return self._gate(tree.flatten((step.args, step.kwargs))[moving[0]])
        return ACTIVATED + GATE * found.is_bounded(tried)

    def _unknown(self, step):
        what, maker = step.path, step
        while not what and maker is not None:  # a step of ours: what it reads is the user's
            maker = self.makers.get(next(iter(maker.reads), None))
            what = maker.path if maker is not None else "the input"
        return (
            "Expected steps that are linear once gates are held (attention weights, deviations,"
            f" ratios of activations), received {what!r} ({kinds.kind((maker or step).fn)}), in"
            " which none was found. Write it with `keras.ops` and layers of Keras, or use"
            " `integrated_gradients` or `occlusion`."
        )


def _ones(x):
    return ops.ones((ops.shape(x)[0],), "float32")


def _bias(fn):
    if not hasattr(fn, "kernel") or hasattr(fn, "moving_mean"):
        return "zeros"
    if getattr(fn, "bias", None) is None:
        return None
    first = getattr(fn, "data_format", "channels_last") == "channels_first"
    return "zeros" if first else "bias"
