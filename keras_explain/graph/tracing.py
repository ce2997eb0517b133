"""From a Keras model to steps: recorded, not computed, and nothing of the user's changed.

This is the only module that uses private Keras API: the history of symbolic tensors
(`_keras_history`, `Node.arguments`), `Functional._inputs_struct` and `_outputs_struct`,
`Sequential._functional`, the shapes that a subclassed model was built with, what a layer does
to its arguments (`_convert_input_args`, `_dtype_policy`), its nodes and sublayers, and the mask
that Keras attaches to tensors. `tests/test_program.py` pins each of them.
"""

import contextlib
import inspect
import math

import keras
from keras import ops, tree

from keras_explain.graph import steps as kinds
from keras_explain.graph.steps import Call, Step, Value


def trace(model):
    """Record `model`.

    Returns the structure of input Values as the model takes it (a Value, list or dict), the
    steps, the structure of output Values, and the calls.
    """
    struct = tree.map_structure(Value, _symbolic_inputs(model))
    tracer = _Tracer()
    with _untouched(model):
        outputs = tracer.inside(model, (struct,), {}, "")
        if outputs is None:
            outputs = tracer.call(model, (struct,), {}, "")
    if _graph_of(model) is None:
        _type_tokens(tree.flatten(struct), tracer.steps)
    return struct, tracer.steps, outputs, tracer.calls


def view(layer, /, dtype=None, **attributes):
    """A second face of a built layer: the same variables, some attributes replaced.

    Args:
        dtype: what it computes in; None leaves that as it is.
    """
    twin = object.__new__(type(layer))
    if dtype is not None:
        attributes["_dtype_policy"] = keras.DTypePolicy(dtype)
    twin.__dict__.update(layer.__dict__, **attributes)
    return twin


def get_mask(tensor):
    """The Keras mask attached to a tensor, or None."""
    return keras.src.backend.get_keras_mask(tensor)


def set_mask(tensor, mask):
    """Attach a Keras mask to a tensor."""
    keras.src.backend.set_keras_mask(tensor, mask)


def inner_layers(fn):
    """The layers inside a layer; nothing for other functions."""
    if not isinstance(fn, keras.layers.Layer):
        return []
    return list(fn._flatten_layers(include_self=False))


class _Tracer:
    """Records calls on Values, and looks into every model and layer that allows it."""

    def __init__(self):
        self.steps, self.calls, self.masks = [], [], False
        self.traced = {}  # paths of the user's layers: names of the operations inside

    def call(self, op, args, kwargs, prefix, node=None):
        """Record one call; returns Values in the structure of its output."""
        path = self._path(op, prefix)
        outputs = self.inside(op, args, kwargs, path)
        if outputs is None:
            outputs = self.step(op, args, kwargs, path, node)
        index = node.operation._inbound_nodes.index(node) if node else 0
        self.calls.append(Call(path, op, tree.flatten(outputs), index))
        return outputs

    def _path(self, op, prefix):
        name = op.name
        if prefix in self.traced and not isinstance(op, keras.layers.Layer):
            name = name.rstrip("0123456789").rstrip("_")  # a new number at each trace
            self.traced[prefix].append(name)
            name = f"{name}_{self.traced[prefix].count(name)}"
        return f"{prefix}/{name}" if prefix else name

    def step(self, op, args, kwargs, path="", node=None):
        """Record one call as it is."""
        if _takes(op.call, "training") and kwargs.get("training") is None:
            kwargs = {**kwargs, "training": False}
        step = Step(op, args, kwargs, [], path)
        if node and all(map(_same, step.reads, node.input_tensors)):
            outputs = [Value(t) for t in node.outputs]
        else:
            outputs = tree.map_structure(Value, _inferred(op, args, kwargs))
        step.outputs = tree.flatten(outputs)
        self.steps.append(step)
        self.masks = self.masks or _makes_mask(op)
        return outputs

    def inside(self, op, args, kwargs, path):
        """Record what `op` does inside; None if it is to stay one opaque step."""
        graph = _graph_of(op)
        if graph is None and not _is_composite(op):
            return None
        if self.masks and graph is None and not op.supports_masking:
            return None  # it has its own idea of masks
        mark = len(self.steps), len(self.calls)
        try:
            if graph is None:
                outputs = self._traced(op, args, kwargs, path)
            elif len(args) == 1 and not any(v for k, v in kwargs.items() if k != "mask"):
                outputs = self._inlined(op, graph, args[0], kwargs.get("mask"), path)
            else:
                return None
        except _Opaque:
            del self.steps[mark[0] :], self.calls[mark[1] :]
            return None
        return self._masked(args[0], outputs) if self.masks and op.supports_masking else outputs

    def _inlined(self, op, graph, inputs, mask, path):
        if isinstance(inputs, dict) and not isinstance(graph._inputs_struct, dict):
            inputs = [inputs[ref.name] for ref in graph.inputs]
        values = tree.flatten(self._autocast(op, inputs))
        values = [self._cast(v, r.dtype) for v, r in zip(values, graph.inputs, strict=True)]
        if mask is not None:
            values = [self._recorded(_SetMask(), pair, pair[0].spec)
                      for pair in zip(values, tree.flatten(mask), strict=True)]
        env = dict(zip(map(id, graph.inputs), values, strict=True))
        return self._walk(graph._outputs_struct, env, path, op, inference=True)

    def _traced(self, op, args, kwargs, path):
        if self.masks and any(_takes(op.call, name) for name in ("mask", "attention_mask")):
            raise _Opaque
        args, kwargs = self._autocast(op, (args, kwargs))
        values = dict.fromkeys(v for v in tree.flatten((args, kwargs)) if isinstance(v, Value))
        symbols = {v: keras.KerasTensor(v.spec.shape, v.spec.dtype) for v in values}
        given, options = tree.map_structure(lambda v: symbols.get(v, v) if isinstance(v, Value)
                                            else v, (args, kwargs))
        if _takes(op.call, "training"):
            options = {"training": False, **{k: v for k, v in options.items() if v is not None}}
        try:
            with keras.StatelessScope():  # nothing is assigned, no random state moves
                outputs = op.call(*given, **options)
        except Exception as error:  # it needs numbers, or does what only its backend can
            raise _Opaque from error
        env = {id(symbol): v for v, symbol in symbols.items()}
        self.traced[path] = []
        return self._walk(outputs, env, path, op, inference=False)

    def _walk(self, struct, env, path, owner, inference):
        """Record the calls that made the symbolic tensors `struct`, back to those in `env`.

        Args:
            env: {id of a symbolic tensor: Value}.
            owner: the layer whose inside this is.
            inference: as a Functional does: `training=False` overrules the call's own.
        """
        pending = tree.flatten(struct)[::-1]
        while pending:
            if id(pending[-1]) in env:
                pending.pop()
                continue
            node = _node_of(pending[-1])
            missing = [t for t in node.input_tensors if id(t) not in env]
            if missing:
                pending.extend(missing[::-1])
                continue
            op, (args, kwargs) = node.operation, node.arguments.fill_in(env)
            _check_variables(owner, op, args, kwargs)
            if inference:
                kwargs = {k: v for k, v in kwargs.items() if k != "training"}
            else:
                _check_constants(args, kwargs)
                op = _for_any_batch(node)
            outputs = self.call(op, args, kwargs, path, node if op is node.operation else None)
            env.update(zip(map(id, node.outputs), tree.flatten(outputs), strict=True))
        outputs = tree.map_structure(lambda t: env[id(t)], struct)
        single = isinstance(outputs, (list, tuple)) and len(outputs) == 1
        return outputs[0] if single and inference else outputs

    def _cast(self, value, dtype):
        if value.spec.dtype == dtype:
            return value
        fn = _Cast(dtype, casts_floats="float" in dtype or "float" in value.spec.dtype)
        return self._recorded(fn, (value,), keras.KerasTensor(value.spec.shape, dtype))

    def _autocast(self, op, values):
        """What a layer that is no Functional does to its inputs: floats in its own dtype."""
        if not (op._convert_input_args and op.autocast):
            return values
        return tree.map_structure(
            lambda v: self._cast(v, op.compute_dtype)
            if isinstance(v, Value) and "float" in v.spec.dtype else v, values)

    def _masked(self, inputs, outputs):
        """What a layer call does to outputs that come back without a mask."""
        flat = tree.flatten(outputs)
        for i, pair in enumerate(zip(flat, tree.flatten(inputs), strict=False)):
            flat[i] = self._recorded(_KeepMask(), pair, pair[0].spec)
        return tree.pack_sequence_as(outputs, flat)

    def _recorded(self, fn, args, spec):
        self.steps.append(Step(fn, args, {}, [Value(spec)]))
        return self.steps[-1].outputs[0]


class _Opaque(Exception):
    """What a layer does cannot be written as calls on symbolic tensors."""


class _Cast:
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


class _SetMask:
    """Attaches a mask to a tensor."""

    def __call__(self, x, mask):
        if mask is not None:
            set_mask(x, mask)
        return x


class _KeepMask:
    """Gives a tensor the mask of another, if it has none."""

    def __call__(self, x, source):
        mask = get_mask(source)
        if mask is not None and get_mask(x) is None:
            set_mask(x, mask)
        return x


def _graph_of(layer):
    """The Functional that `layer` runs when it is called, or None."""
    if not isinstance(layer, keras.Model) or not kinds.is_built_in(layer):
        return None
    if isinstance(layer, keras.Sequential):
        return layer._functional
    return layer if hasattr(layer, "_outputs_struct") else None


def _is_composite(layer):
    """A layer or model of the user's that has no weights but those of its sublayers."""
    if not isinstance(layer, keras.layers.Layer) or kinds.is_built_in(layer):
        return False
    own = [*layer._trainable_variables, *layer._non_trainable_variables]
    return bool(inner_layers(layer)) and not own


def _symbolic_inputs(model):
    graph = _graph_of(model) or model
    if hasattr(graph, "_inputs_struct"):
        return graph._inputs_struct
    shapes = getattr(model, "_build_shapes_dict", None)
    if not model.built or not shapes:
        raise ValueError(
            f"Expected a built model, received {model.name!r} ({kinds.kind(model)}), which has"
            " never seen the shape of its input. Call it once on data, or start a Sequential"
            " with `keras.Input(...)`."
        )
    parameters = inspect.signature(model.call).parameters.values()
    required = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    if len(required) > 1:
        raise ValueError(
            "Expected a model that is called on one argument (a tensor, list or dict),"
            f" received {model.name!r}, which takes {required}. Pass them as a list or dict."
        )
    shapes = next(iter(shapes.values()))

    def symbolic(shape, name=None):
        return keras.Input(tuple(shape[1:]), dtype=model.variable_dtype, name=name)

    if isinstance(shapes, dict):
        return {name: symbolic(shape, name) for name, shape in shapes.items()}
    return tree.map_shape_structure(symbolic, shapes)


def _type_tokens(inputs, steps):
    """A subclassed model does not tell the dtype of its inputs, but an Embedding does."""
    for step in steps:
        if isinstance(step.fn, keras.layers.Embedding) and step.reads[0] in inputs:
            spec = step.reads[0].spec
            step.reads[0].spec = keras.KerasTensor(spec.shape, "int32", name=spec.name)


@contextlib.contextmanager
def _untouched(model):
    """Symbolic calls inside leave no trace on the layers of `model`."""
    layers = list(model._flatten_layers())
    nodes = [(list(x._inbound_nodes), list(x._outbound_nodes)) for x in layers]
    attributes = [dict(vars(x)) for x in layers]
    try:
        yield
    finally:
        for layer, (inbound, outbound), before in zip(layers, nodes, attributes, strict=True):
            layer._inbound_nodes[:] = inbound
            layer._outbound_nodes[:] = outbound
            for name in vars(layer).keys() - before.keys():
                del vars(layer)[name]
            vars(layer).update(before)


def _node_of(tensor):
    history = getattr(tensor, "_keras_history", None)
    if history is None or history.operation is None:
        raise _Opaque  # a constant, or a symbolic tensor of another trace
    node = history.operation._inbound_nodes[history.node_index]
    if node.is_input:
        raise _Opaque
    return node


def _for_any_batch(node):
    """The operation of a node, without the None that stands for the batch in a shape.

    `ops.reshape(x, (ops.shape(x)[0], ...))` was recorded with None; -1 says the same.
    """
    op = node.operation
    if isinstance(op, keras.layers.Layer):
        return op
    shapes = {name: v for name, v in vars(op).items()
              if isinstance(v, (list, tuple)) and any(n is None for n in v)}
    if not shapes:
        return op
    if set(shapes) != {"newshape"}:
        raise _Opaque
    (batch, *rest), (_, *source) = op.newshape, node.input_tensors[0].shape
    if batch is not None or None in (*rest, *source):
        raise _Opaque
    size = math.prod(source) // math.prod(n for n in rest if n != -1)
    return view(op, newshape=(-1, *[size if n == -1 else n for n in rest]))


def _check_variables(owner, op, args, kwargs):
    """Under mixed precision a layer casts the variables that its operations read."""
    mixed = owner.compute_dtype != owner.variable_dtype and not isinstance(op, keras.layers.Layer)
    if mixed and any(isinstance(x, keras.Variable) for x in tree.flatten((args, kwargs))):
        raise _Opaque


def _check_constants(args, kwargs):
    """A float tensor among the arguments may be computed from weights, which can change."""
    for x in tree.flatten((args, kwargs)):
        if ops.is_tensor(x) and not isinstance(x, keras.Variable) and "float" in str(x.dtype):
            raise _Opaque


def _inferred(fn, args, kwargs):
    args, kwargs = tree.map_structure(
        lambda v: v.spec if isinstance(v, Value) else v, (args, kwargs)
    )
    parameters = inspect.signature(fn.compute_output_spec).parameters.values()
    if not any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters):
        kwargs = {k: v for k, v in kwargs.items() if k != "training"}
    return fn.compute_output_spec(*args, **kwargs)


def _takes(function, name):
    return name in inspect.signature(function).parameters


def _same(value, tensor):
    return value.spec.shape == tensor.shape and value.spec.dtype == tensor.dtype


def _makes_mask(op):
    if isinstance(op, keras.layers.Masking) or getattr(op, "mask_zero", False):
        return True
    return isinstance(op, keras.layers.Layer) and not op.supports_masking and (
        not kinds.is_built_in(op))
