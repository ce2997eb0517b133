"""A Keras model as a straight-line program of layer calls.

Trace a model once, then look inside without touching it: cut it at any value, read the
score before the softmax, exchange the function of a step, find the layer to explain.

This is the only module that uses private Keras API (`Function._run_through_graph`,
`Sequential._functional`, the shapes that a subclassed model was built with and the mask
that Keras attaches to tensors); `tests/test_program.py` pins each of them.
"""

import contextlib
import dataclasses
import difflib
import inspect

import keras
from keras import ops, tree

SPATIAL_HINT = (
    "Use a method that needs no inner layer (`saliency`, `occlusion`), or name the layer"
    " with `layer=`."
)


class Value:
    """An edge of the program. `spec` is its symbolic shape and dtype, once inferred."""

    spec = None


@dataclasses.dataclass(eq=False)
class Step:
    """One call: `outputs = fn(*args, **kwargs)`, where Values stand for tensors."""

    fn: object
    args: tuple
    kwargs: dict
    outputs: list
    path: str = ""

    @property
    def reads(self):
        return [v for v in tree.flatten((self.args, self.kwargs)) if isinstance(v, Value)]


@dataclasses.dataclass(eq=False)
class Call:
    """One use of a layer or nested model, under the path that a user can name."""

    path: str
    layer: object
    outputs: list


class Program:
    """Steps in order of execution, from `inputs` (Values) to `outputs` (a structure of Values)."""

    def __init__(self, inputs, steps, outputs, calls=()):
        self.inputs, self.steps, self.outputs, self.calls = list(inputs), steps, outputs, calls

    @classmethod
    def trace(cls, model):
        """Record `model`: nothing is computed, no layer of the user gains a node.

        Returns the structure of input Values as the model takes it (a Value, list or dict),
        and the program.
        """
        steps, calls = [], []
        with _restored_nodes(model):
            graph = _graph_of(model)
            symbolic = _subclassed_inputs(model) if graph is None else graph._inputs_struct
            struct = tree.map_structure(_value_like, symbolic)
            inputs = tree.flatten(struct)
            if graph is None:
                outputs = _record_call(model, "", steps, calls)(struct)
            else:
                outputs = _inline(graph, inputs, "", steps, calls)
        program = cls(inputs, steps, outputs, calls)
        program._infer()
        return struct, program.prune()

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
        steps = [dataclasses.replace(s, fn=rule(s.fn)) for s in self.steps]
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
        early = [s for s in self.steps if s not in late]
        return Program(self.inputs, early, list(head.inputs)).prune(), head

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

    def find(self, layer, node_index=None):
        """The Call of a layer, given as a name, a path ("backbone/conv5") or a layer object.

        Raises:
            ValueError: the layer is unknown (the nearest names are listed), the name is
                ambiguous, the layer is called several times and `node_index` is None, or the
                explained output does not depend on it.
        """
        matches = [c for c in self.calls if layer in (c.path, c.layer)]
        if not matches and isinstance(layer, str):
            matches = [c for c in self.calls if c.path.endswith("/" + layer)]
        if not matches:
            name = getattr(layer, "name", layer)
            names = list(dict.fromkeys(c.path for c in self.calls))
            near = difflib.get_close_matches(str(name), names, 5, 0.3) or names[-5:]
            raise ValueError(
                f"Expected `layer` to name a layer of the model, received {name!r}."
                f" Did you mean one of {near}? Layers of a nested model are named"
                ' "backbone/layer".'
            )
        paths = list(dict.fromkeys(c.path for c in matches))
        if len(paths) > 1:
            raise ValueError(
                f"Expected `layer` to name one layer, received {layer!r}, which fits {paths}."
                " Give the full path."
            )
        if len(matches) > 1 and node_index is None:
            raise ValueError(
                f"Expected `node_index`, because the layer {paths[0]!r} is called"
                f" {len(matches)} times. Choose the call with node_index=0 to"
                f" {len(matches) - 1}."
            )
        try:
            call = matches[node_index or 0]
        except IndexError:
            raise ValueError(
                f"Expected `node_index` from 0 to {len(matches) - 1} for layer {paths[0]!r},"
                f" received {node_index}."
            ) from None
        if not self.ancestors(tree.flatten(self.outputs)).intersection(call.outputs):
            raise ValueError(
                f"Expected a layer that the explained output depends on, received"
                f" {call.path!r}, which is disconnected from it. Choose a layer on the way"
                " from the input to the output, or another `output=`."
            )
        return call

    def last_spatial(self):
        """The Call whose output is the last feature map: after convolutions, before pooling.

        Values of spatial extent 1 (a 1x1 convolution after pooling, as in MobileNet) do not
        count, nor do pooling, padding, cropping, dropout and reshaping.

        Raises:
            ValueError: the model has no convolution.
        """
        ranks, best = {}, None  # Values that a convolution reaches -> its rank
        by_value = {}
        for call in self.calls:
            for value in call.outputs:
                by_value.setdefault(value, call)  # the inner layer, not the model around it
        for step in self.steps:
            rank = max((ranks[v] for v in step.reads if v in ranks), default=None)
            if _is_convolution(step):
                rank = len(step.outputs[0].spec.shape)
            for value in step.outputs:
                if rank is None or len(value.spec.shape) != rank:
                    continue
                ranks[value] = rank
                larger = max(2 if n is None else n for n in self.spatial_shape(value.spec)) > 1
                if larger and _is_feature_map(step) and value in by_value:
                    best = by_value[value]
        if best is None:
            raise ValueError(
                "Expected a model with a convolution whose feature map is larger than 1x1,"
                f" received one without. {SPATIAL_HINT}"
            )
        return best

    def data_format(self):
        """"channels_last" or "channels_first": what the model's own layers say."""
        for step in self.steps:
            declared = getattr(step.fn, "data_format", None)
            if declared in ("channels_last", "channels_first"):
                return declared
        return keras.config.image_data_format()

    def spatial_shape(self, spec):
        """The shape of a feature map without batch and channels."""
        if len(spec.shape) > 3 and self.data_format() == "channels_first":
            return tuple(spec.shape[2:])
        return tuple(spec.shape[1:-1])

    def before_activation(self, value):
        """The score before the final softmax or sigmoid: (program, value, activation name).

        The user's layer stays as it is: a view of it shares its variables. Where no softmax
        or sigmoid ends the model, `value` itself comes back, with None.
        """
        step = self.producer(value)
        if step is None:
            return self, value, None
        kind = _activation_name(step.fn)
        at = self.steps.index(step)
        if kind in ("softmax", "sigmoid"):
            if not _has_kernel(step.fn):
                return self, step.reads[0], kind
            raw = _value_like(value.spec)
            steps = [
                *self.steps[:at],
                dataclasses.replace(step, fn=view(step.fn, activation=keras.activations.linear),
                                    outputs=[raw]),
                Step(step.fn.activation, (raw,), {}, [value], step.path),
                *self.steps[at + 1 :],
            ]
            return Program(self.inputs, steps, self.outputs, self.calls), raw, kind
        if _is_transparent(step.fn) and len(step.reads) == 1:
            program, inner, kind = self.before_activation(step.reads[0])
            if kind:
                raw = _value_like(value.spec)
                swap = {step.reads[0]: inner}
                args = tree.map_structure(lambda v: swap.get(v, v) if isinstance(v, Value) else v,
                                          step.args)
                steps = [*program.steps, dataclasses.replace(step, args=args, outputs=[raw])]
                return Program(self.inputs, steps, self.outputs, self.calls), raw, kind
        return self, value, None

    def _infer(self):
        """Give every Value its symbolic shape and dtype."""
        for step in self.steps:
            args, kwargs = tree.map_structure(
                lambda v: v.spec if isinstance(v, Value) else v, (step.args, step.kwargs)
            )
            infer = getattr(step.fn, "compute_output_spec", step.fn)
            for value, spec in zip(step.outputs, tree.flatten(infer(*args, **kwargs)), strict=True):
                value.spec = spec


def view(layer, **attributes):
    """A second face of a built layer: the same variables, some attributes replaced."""
    twin = object.__new__(type(layer))
    twin.__dict__.update(layer.__dict__, **attributes)
    return twin


def get_mask(tensor):
    """The Keras mask attached to a tensor, or None."""
    return keras.src.backend.get_keras_mask(tensor)


def set_mask(tensor, mask):
    """Attach a Keras mask to a tensor."""
    keras.src.backend.set_keras_mask(tensor, mask)


# Tracing ------------------------------------------------------------------------------------


def _graph_of(model):
    """The Functional graph behind a model; None where its `call` cannot be traced."""
    if isinstance(model, keras.Sequential):
        if model._functional is None:
            raise ValueError(
                "Expected a built model, received a Sequential that has not seen its input"
                " shape. Call it once on data, or start it with `keras.Input(...)`."
            )
        return model._functional
    if hasattr(model, "_run_through_graph"):
        return model
    if not isinstance(model, keras.Model) or model._trainable_variables:
        return None
    return _trace_subclassed(model)


def _trace_subclassed(model):
    inputs = _subclassed_inputs(model)
    kwargs = {"training": False} if _takes_training(model) else {}
    try:
        return keras.Model(inputs, model.call(inputs, **kwargs))
    except Exception:  # `call` does what only its backend can: the model stays opaque
        return None


def _subclassed_inputs(model):
    shapes = getattr(model, "_build_shapes_dict", None)
    if not model.built or not shapes:
        raise ValueError(
            f"Expected a built model, received the subclassed model {model.name!r} that has"
            " never been called. Call it once on data, so that its input shapes are known."
        )
    shapes = list(shapes.values())[0] if len(shapes) == 1 else list(shapes.values())
    return tree.map_shape_structure(
        lambda shape: keras.Input((*shape[1:],), dtype=model.variable_dtype), shapes
    )


@contextlib.contextmanager
def _restored_nodes(model):
    """Symbolic calls inside leave no trace on the layers of `model`."""
    layers = list(model._flatten_layers())
    before = [(list(x._inbound_nodes), list(x._outbound_nodes)) for x in layers]
    try:
        yield
    finally:
        for layer, (inbound, outbound) in zip(layers, before, strict=True):
            layer._inbound_nodes[:] = inbound
            layer._outbound_nodes[:] = outbound


def _inline(graph, inputs, prefix, steps, calls):
    aligned = []
    for value, ref in zip(inputs, graph.inputs, strict=True):
        aligned.append(Value())
        steps.append(Step(_Align(ref.shape, ref.dtype), (value,), {}, [aligned[-1]], prefix))
    return graph._run_through_graph(
        aligned, operation_fn=lambda op: _record_call(op, prefix, steps, calls)
    )


def _record_call(op, prefix, steps, calls):
    path = f"{prefix}/{op.name}" if prefix else op.name

    def call(*args, **kwargs):
        graph = None
        given = {name for name, value in kwargs.items() if value is not None}
        if isinstance(op, keras.Model) and len(args) == 1 and given <= {"training"}:
            graph = _graph_of(op)
        if graph is not None:
            outputs = _inline(graph, _by_name(args[0], graph), path, steps, calls)
        else:
            if _takes_training(op):
                kwargs = {**kwargs, "training": False}
            outputs = tree.map_structure(lambda _: Value(), _output_structure(op))
            steps.append(Step(op, args, kwargs, tree.flatten(outputs), path))
        calls.append(Call(path, op, tree.flatten(outputs)))
        return outputs

    return call


def _output_structure(op):
    if op._inbound_nodes:
        return list(op._inbound_nodes[0].outputs)
    return op.compute_output_spec(_subclassed_inputs(op))  # an opaque model on its own


def _by_name(inputs, graph):
    """The arguments of a nested call in the order of the nested model's inputs."""
    if isinstance(inputs, dict) and not isinstance(graph._inputs_struct, dict):
        return [inputs[ref.name] for ref in graph.inputs]
    return tree.flatten(inputs)


def _takes_training(op):
    return "training" in inspect.signature(op.call).parameters


class _Align:
    """What a Functional does to its inputs: its own float dtype and rank.

    Integer inputs keep the dtype that arrives, so that a float copy can be differentiated.
    """

    def __init__(self, shape, dtype):
        self.rank, self.last, self.dtype = len(shape), shape[-1] if shape else None, dtype

    def __call__(self, x):
        if "float" in self.dtype and keras.backend.standardize_dtype(x.dtype) != self.dtype:
            x = ops.cast(x, self.dtype)
        if len(x.shape) == self.rank + 1 and x.shape[-1] == 1:
            return ops.squeeze(x, axis=-1)
        if len(x.shape) == self.rank - 1 and self.last == 1:
            return ops.expand_dims(x, axis=-1)
        return x


# What kind of step is it? ---------------------------------------------------------------------

_TRANSPARENT = ("Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Cast", "ExpandDims")
_NOT_FEATURES = (*_TRANSPARENT, "MaxPool", "AveragePool", "AvgPool", "AdaptiveAverage",
                 "AdaptiveMax", "ZeroPadding", "Cropping", "Pad", "Permute", "Transpose",
                 "SpatialDropout", "GaussianDropout", "GetItem")


def _kind(fn):
    return type(fn).__name__


def _is_transparent(fn):
    if _kind(fn) == "Activation":
        return getattr(fn.activation, "__name__", "") == "linear"
    return isinstance(fn, _Align) or _kind(fn) in _TRANSPARENT


def _is_convolution(step):
    """A layer whose kernel spans space (rank of its input), or a convolution operation."""
    if _kind(step.fn) in ("Conv", "DepthwiseConv", "SeparableConv", "ConvTranspose"):
        return True
    if isinstance(step.fn, (keras.layers.MultiHeadAttention, keras.layers.EinsumDense)):
        return False
    if not isinstance(step.fn, keras.layers.Layer):
        return False
    rank = max((len(v.spec.shape) for v in step.outputs if v.spec is not None), default=0)
    return rank >= 3 and any(len(w.shape) >= rank for w in step.fn.weights)


def _is_feature_map(step):
    return not isinstance(step.fn, _Align) and not _kind(step.fn).startswith(_NOT_FEATURES)


def _activation_name(fn):
    activation = getattr(fn, "activation", None)
    if activation is None and _kind(fn) in ("Softmax", "Sigmoid"):
        axis = getattr(fn, "axis", -1)
        return _kind(fn).lower() if axis in (-1, None) else None
    return getattr(activation, "__name__", None)


def _has_kernel(fn):
    return isinstance(fn, keras.layers.Layer) and bool(fn.weights)


def _value_like(spec):
    value = Value()
    value.spec = keras.KerasTensor(spec.shape, spec.dtype, name=getattr(spec, "name", None))
    return value
