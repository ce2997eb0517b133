"""A Keras model as a straight-line program of layer calls.

Trace a model once, then look inside without touching it: cut it at any value, exchange the
function of a step, find the layer to explain.
"""

import dataclasses
import difflib
import functools

import keras
from keras import tree

from keras_explain.graph import steps as kinds
from keras_explain.graph import tracing
from keras_explain.graph.frames import OverFrames
from keras_explain.graph.masks import get_mask, set_mask
from keras_explain.graph.models import inner_layers, view
from keras_explain.graph.steps import Step, Value
from keras_explain.graph.tokens import shape_counts, type_tokens

__all__ = ["Program", "Step", "Value", "get_mask", "set_mask", "view"]


class Program:
    """Steps in order of execution, from `inputs` (Values) to `outputs` (a structure of Values)."""

    def __init__(self, inputs, steps, outputs, calls=()):
        self.inputs, self.steps, self.outputs, self.calls = list(inputs), steps, outputs, calls

    @classmethod
    def trace(cls, model):
        """Record `model`: nothing is computed, no layer of the user is changed.

        Returns the structure of input Values as the model takes it (a Value, list or dict),
        and the program.
        """
        struct, steps, outputs, calls = tracing.trace(model)
        program = cls(tree.flatten(struct), steps, outputs, calls).prune()
        type_tokens(program)
        shape_counts(program)
        return struct, program

    def __call__(self, values):
        """Run the program on tensors, one per input."""
        env = dict(zip(self.inputs, tree.flatten(values), strict=True))

        def fill(v):
            return env[v] if isinstance(v, Value) else v

        for step in self.steps:
            args, kwargs = tree.map_structure(fill, (step.args, step.kwargs))
            env.update(zip(step.outputs, tree.flatten(step.fn(*args, **kwargs)), strict=True))
        return tree.map_structure(fill, self.outputs)

    def prune(self):
        """Drop the steps that the outputs do not need."""
        needed, steps = set(tree.flatten(self.outputs)), []
        for step in reversed(self.steps):
            if needed.intersection(step.outputs):
                steps.append(step)
                needed.update(step.reads)
        return Program(self.inputs, steps[::-1], self.outputs, self.calls)

    def with_outputs(self, outputs):
        """The same program, asked for other values."""
        return Program(self.inputs, self.steps, outputs, self.calls).prune()

    def replace(self, rule):
        """Exchange the function of each step: `rule(fn)` returns the one to use."""

        def replaced(fn):
            return fn.with_fn(replaced(fn.fn)) if isinstance(fn, OverFrames) else rule(fn)

        steps = [dataclasses.replace(s, fn=replaced(s.fn)) for s in self.steps]
        return Program(self.inputs, steps, self.outputs, self.calls)

    def split(self, cut):
        """Cut at the Values `cut`: a stem and a head, so that nothing runs twice.

        `stem(inputs)` gives the cut values, followed by the values of skip connections that
        cross the cut; `head` takes them in that order and gives this program's outputs.
        """
        after, late = set(cut), []
        for step in self.steps:
            if after.intersection(step.reads) and not set(cut).intersection(step.outputs):
                after.update(step.outputs)
                late.append(step)
        head = Program([], late, self.outputs).prune()
        reads = [v for s in head.steps for v in s.reads] + tree.flatten(self.outputs)
        head.inputs = [*cut, *dict.fromkeys(v for v in reads if v not in after)]
        return Program(self.inputs, self.steps, list(head.inputs)).prune(), head

    def is_per_example(self, value):
        """Whether the first axis of `value` counts the examples; constants have none."""
        batch = self.inputs[0].spec.shape[0]
        return value.spec.shape[:1] == (batch,)

    def ancestors(self, values):
        """All Values that `values` are computed from, themselves included."""
        found = set(values)
        for step in reversed(self.steps):
            if found.intersection(step.outputs):
                found.update(step.reads)
        return found

    def producer(self, value):
        """The step that computes `value`; None for an input."""
        return next((s for s in self.steps if value in s.outputs), None)

    # Finding a layer --------------------------------------------------------------------------

    def find(self, layer, node_index=None, source=None):
        """The Call of a layer, given as a name, a path ("backbone/conv5") or a layer object.

        Args:
            node_index: which call, of a layer that is called several times; None: the only one
                that the input Value `source` reaches.

        Raises:
            ValueError: the layer is unknown (the nearest names are listed) or inside one that
                cannot be looked into, the name is ambiguous, the layer is called several times
                and `node_index` is None, or this program's outputs do not depend on it.
        """
        matches = [c for c in self.calls if layer in (c.path, c.layer)]
        if not matches and isinstance(layer, str):
            matches = [c for c in self.calls if c.path.endswith("/" + layer)]
        if not matches:
            raise ValueError(self._unknown(layer))
        paths = list(dict.fromkeys(c.path for c in matches))
        if len(paths) > 1:
            raise ValueError(
                f"Expected `layer` to name one layer, received {layer!r}, which fits {paths}."
                " Give the full path."
            )
        matches.sort(key=lambda c: c.index)
        reached = [c for c in matches if source in self.ancestors(c.outputs)]
        if len(reached) == 1 and node_index is None:
            matches = reached
        if len(matches) > 1 and node_index is None:
            raise ValueError(
                f"Expected `node_index`, because the layer {paths[0]!r} is called"
                f" {len(matches)} times, received none. Choose the call with node_index=0 to"
                f" {len(matches) - 1}."
            )
        if node_index is not None and not 0 <= node_index < len(matches):
            raise ValueError(
                f"Expected `node_index` from 0 to {len(matches) - 1} for layer {paths[0]!r},"
                f" received {node_index}. Calls are counted from 0, in the order of the model."
            )
        call = matches[node_index or 0]
        if not self.ancestors(tree.flatten(self.outputs)).intersection(call.outputs):
            raise ValueError(
                f"Expected a layer that the explained score depends on, received"
                f" {call.path!r}, which is disconnected from it, or comes after it. Choose a"
                " layer on the way from the input to the output, or another `output=`."
            )
        return call

    def _unknown(self, layer):
        name = str(getattr(layer, "name", layer))
        for step in self.steps:
            for inner in inner_layers(step.fn):
                if inner is layer or inner.name == name.rpartition("/")[2]:
                    return (
                        f"Expected `layer` to name a layer that can be looked at, received"
                        f" {name!r}, which is inside {step.path!r} ({kinds.kind(step.fn)}), one"
                        f" opaque step. Name {step.path!r} itself, or use `saliency` or"
                        " `occlusion`."
                    )
        names = list(dict.fromkeys(c.path for c in self.calls))
        near = difflib.get_close_matches(name, names, 5, 0.3) or names[-5:]
        return (
            f"Expected `layer` to name a layer of the model, received {name!r}. Did you mean one"
            f' of {near}? Layers of a nested model are named "backbone/layer".'
        )

    def last_tokens(self):
        """The Call whose output feeds the last attention: what the tokens tell each other.

        In a transformer this is the normalization at the start of the last block. After it, a
        class token has heard the others, and their own values count no more.

        Raises:
            ValueError: the model has no attention layer.
        """
        calls = self.calls_by_value()
        for step in reversed(self.steps):
            if kinds.is_attention(step.fn) and step.reads[0] in calls:
                return calls[step.reads[0]]
        raise ValueError(
            "Expected `layer` with `reshape`, because the model has no attention layer of Keras,"
            " received none. Name the layer whose tokens are to be explained (in a transformer the"
            " normalization before the last attention)."
        )

    def calls_by_value(self):
        """{Value: the Call that gives it}."""
        by_value = {}
        for call in self.calls:
            for value in call.outputs:
                by_value.setdefault(value, call)  # the inner layer, not the model around it
        return by_value

    # What the axes mean -----------------------------------------------------------------------

    def channel_axis(self, value):
        """The axis of `value` that holds its channels or classes."""
        rank = len(value.spec.shape)
        first = rank > 3 and keras.config.image_data_format() == "channels_first"
        return self._channel_axes.get(value, 1 if first else rank - 1)

    @functools.cached_property
    def _channel_axes(self):
        return kinds.channel_axes(self.steps)

    def data_format(self):
        """"channels_last" or "channels_first": what the model's own layers say."""
        for step in self.steps:
            declared = getattr(step.fn, "data_format", None)
            if declared in ("channels_last", "channels_first"):
                return declared
        return keras.config.image_data_format()

    def spatial_shape(self, value):
        """The shape of a feature map without batch and channels."""
        channel = self.channel_axis(value)
        return tuple(n for a, n in enumerate(value.spec.shape) if a not in (0, channel))
