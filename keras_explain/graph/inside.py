"""What `call` of a user's layer does, seen while it runs on symbolic tensors.

Keras records symbolic calls. The rest is Python that Keras does not record: calls of layers on
numbers, masks that are set and read, variables that are read. This module watches for it.
"""

import contextlib
import functools
import inspect

import keras
from keras import ops, tree

from keras_explain.graph import steps as kinds
from keras_explain.graph.masks import get_mask, may_make_masks, spec_with_masks
from keras_explain.graph.models import inner_layers
from keras_explain.graph.steps import Value


class Opaque(Exception):
    """What a layer does cannot be written as calls on symbolic tensors."""


class Owner:
    """The layer whose inside is recorded, and what its `call` did besides symbolic calls.

    Args:
        layer: of the user.
        inference: as a Functional does: `training=False` overrules a call's own.
        inputs: Values that it is called on.
    """

    def __init__(self, layer, inference, inputs=()):
        self.layer, self.inference, self.inputs = layer, inference, inputs
        self.scope = _Scope()
        self.known = {id(x) for x in inner_layers(layer)}
        self.on_numbers = {}  # {id of a symbolic tensor: a call of a layer on numbers}
        self.masked = {}  # {id of a symbolic mask: (itself, the tensor that its layer gave it to)}

    @contextlib.contextmanager
    def listen(self):
        """While `call` runs: calls of its layers on numbers are kept, and masks stay symbolic.

        A layer that is called on numbers (positions) would compute numbers of now from its
        weights. Keras infers what a layer returns without the mask that it sets.
        """
        layers = inner_layers(self.layer)
        before = [dict(vars(x)) for x in layers]
        try:
            for layer in layers:
                vars(layer)["call"] = self._call_of(layer)
                if may_make_masks(layer):
                    vars(layer)["symbolic_call"] = self._symbolic_call_of(layer)
            with self.scope:  # nothing is assigned, no random state moves
                yield
        finally:
            for layer, attributes in zip(layers, before, strict=True):
                for name in ("call", "symbolic_call"):
                    vars(layer).pop(name, None)
                    if name in attributes:
                        vars(layer)[name] = attributes[name]

    def _call_of(self, layer):
        run = layer.call

        @functools.wraps(run)
        def call(*args, **kwargs):
            symbolic = any(isinstance(x, keras.KerasTensor) for x in tree.flatten((args, kwargs)))
            if symbolic or not self.scope.is_current():
                return run(*args, **kwargs)
            outputs = infer_outputs(layer, args, kwargs)
            for x in tree.flatten(outputs):
                self.on_numbers[id(x)] = layer, args, kwargs, tree.flatten(outputs)
            return outputs

        return call

    def _symbolic_call_of(self, layer):
        run = layer.symbolic_call

        def symbolic_call(*args, **kwargs):
            if not self.scope.is_current():
                return run(*args, **kwargs)
            try:
                outputs = spec_with_masks(layer, args, kwargs)
            except Exception:  # it needs numbers, and tells its shapes itself
                return run(*args, **kwargs)
            # Keras takes no None beside tensors, as attention scores that nobody asks for.
            outputs = tree.map_structure(
                lambda x: keras.KerasTensor((), "float32") if x is None else x, outputs)
            for x in tree.flatten(outputs):
                if get_mask(x) is not None:
                    self.masked[id(get_mask(x))] = get_mask(x), x
            return outputs

        return symbolic_call

    def origin(self, tensor):
        """(operation, symbolic tensors that it read, those that it made, node) of a tensor."""
        if id(tensor) in self.on_numbers:
            layer, _, _, outputs = self.on_numbers[id(tensor)]
            return layer, [], outputs, None
        node = _node_of(tensor)
        op = node.operation
        sizes = [n for v in self.inputs for n in v.spec.shape[1:]]
        if not self.inference and isinstance(op, keras.layers.Layer) and None in sizes and (
                id(op) not in self.known):
            raise Opaque  # made in `call` for a size that nobody knows yet
        return op, node.input_tensors, node.outputs, node

    def arguments(self, tensor, node, env):
        """The arguments of the call that made a tensor, with Values for symbolic tensors."""
        if node is not None:
            return node.arguments.fill_in(env)
        _, args, kwargs, _ = self.on_numbers[id(tensor)]
        self.check_constants((args, kwargs))
        return args, kwargs

    def check_constants(self, values):
        """Numbers among the arguments may be computed from weights, which can change."""
        if self.scope.read and any(ops.is_tensor(x) and not isinstance(x, keras.Variable)
                                   for x in tree.flatten(values)):
            raise Opaque


class _Scope(keras.StatelessScope):
    """Remembers whether a variable was read."""

    read = False

    def get_current_value(self, variable):
        self.read = True
        return super().get_current_value(variable)

    def is_current(self):
        return keras.src.backend.common.stateless_scope.get_stateless_scope() is self


def has_new_mask(tensor, op, needs, owner):
    """Whether the mask of a symbolic tensor is none that its operation gives by itself."""
    mask = get_mask(tensor)
    if not isinstance(op, keras.layers.Layer):
        return mask is not None
    if mask is None:
        return True
    if id(mask) in owner.masked:
        return owner.masked[id(mask)][1] is not tensor
    return not kinds.is_built_in(op) or all(get_mask(t) is not mask for t in needs)


def call_as_layer(twin, op, args, kwargs, owner):
    """What `Layer.__call__` does around `call` with masks, on symbolic tensors."""
    parameters = inspect.signature(op.call)
    bound = parameters.bind(*args, **kwargs)
    tensors = {name: x for name, x in bound.arguments.items() if any(
        isinstance(leaf, keras.KerasTensor) for leaf in tree.flatten(x))}
    for name, x in tensors.items():
        name = "mask" if len(tensors) == 1 else f"{name}_mask"
        if name in parameters.parameters and bound.arguments.get(name) is None:
            kwargs = {**kwargs, name: tree.map_structure(get_mask, x)}
    first = next(iter(bound.arguments.values()))
    previous = kwargs.get("mask")
    if previous is None:
        previous = tree.map_structure(get_mask, first)
    with owner.listen():
        outputs = twin.call(*args, **kwargs)
        if op.supports_masking:
            twin._set_mask_metadata(first, outputs, previous)
    return outputs


def _node_of(tensor):
    history = getattr(tensor, "_keras_history", None)
    if history is None or history.operation is None:
        raise Opaque  # a constant, or a symbolic tensor of another trace
    node = history.operation._inbound_nodes[history.node_index]
    if node.is_input:
        raise Opaque
    return node


def is_half_turn(fn):
    """Whether an operation is `rot90` by half turns: Keras declares rows and columns exchanged."""
    return kinds.is_operation(fn, "Rot90") and fn.k % 2 == 0


def infer_outputs(fn, args, kwargs):
    args, kwargs = tree.map_structure(
        lambda v: v.spec if isinstance(v, Value) else v, (args, kwargs)
    )
    if is_half_turn(fn):
        (turned,) = [v for v in tree.flatten((args, kwargs)) if isinstance(v, keras.KerasTensor)]
        return keras.KerasTensor(turned.shape, turned.dtype)
    parameters = inspect.signature(fn.compute_output_spec).parameters.values()
    if not any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters):
        kwargs = {k: v for k, v in kwargs.items() if k != "training"}
    return fn.compute_output_spec(*args, **kwargs)


def check_variables(owner, op, args, kwargs):
    """Under mixed precision a layer casts the variables that its operations read."""
    mixed = owner.compute_dtype != owner.variable_dtype and not isinstance(op, keras.layers.Layer)
    if mixed and any(isinstance(x, keras.Variable) for x in tree.flatten((args, kwargs))):
        raise Opaque


def takes(function, name):
    return name in inspect.signature(function).parameters


def same_spec(value, tensor):
    return value.spec.shape == tensor.shape and value.spec.dtype == tensor.dtype


def has_own(layer, name):
    """Whether the user gave a layer its own method of that name."""
    return not getattr(type(layer), name).__module__.startswith("keras.")
