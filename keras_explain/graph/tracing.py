"""From a Keras model to steps: recorded, not computed, and nothing of the user's changed.

Private Keras API is used here and in three modules beside: `models` (what a model is made of),
`inside` (what `call` of a user's layer does) and `masks`. Here: the mode of conversion of a layer's
arguments (`_convert_input_args`) and the nodes of the symbolic graph (`_inbound_nodes`,
`_inputs_struct`, `_outputs_struct`). `tests/graph/test_program.py` pins each name.
"""


import keras
from keras import tree

from keras_explain.graph import steps as kinds
from keras_explain.graph.inside import (
    Opaque,
    Owner,
    call_as_layer,
    check_variables,
    has_new_mask,
    has_own,
    infer_outputs,
    is_half_turn,
    same_spec,
    takes,
)
from keras_explain.graph.masks import (
    GetMask,
    KeepMask,
    SetMask,
    carry_masks,
    free_of_lengths,
    get_mask,
    set_mask,
)
from keras_explain.graph.models import (
    graph_of,
    is_composite,
    is_kept_closed,
    leave_untouched,
    symbolic_inputs,
    view,
)
from keras_explain.graph.recorded import ConstantValue, InputCast, VariableValue, free_batch
from keras_explain.graph.steps import Call, Step, Value
from keras_explain.graph.time_distributed import is_time_distributed, record_frames


def trace(model):
    """Record `model`.

    Returns the structure of input Values as the model takes it (a Value, list or dict), the
    steps, the structure of output Values, and the calls.
    """
    struct = tree.map_structure(Value, symbolic_inputs(model))
    tracer = Tracer()
    with leave_untouched(model):
        outputs = tracer.inside(model, (struct,), {}, "")
        if outputs is None:
            outputs = tracer.call(model, (struct,), {}, "")
    return struct, tracer.steps, outputs, tracer.calls


class Tracer:
    """Records calls on Values, and looks into every model and layer that allows it."""

    def __init__(self):
        self.steps, self.calls = [], []
        self.traced = {}  # paths of the user's layers: names of the operations inside
        self.masks, self.settled = {}, 0  # {Value: symbolic mask}, after how many steps

    def call(self, op, args, kwargs, prefix, node=None):
        """Record one call; returns Values in the structure of its output."""
        path = self._path(op, prefix)
        outputs = self.inside(op, args, kwargs, path, len(node.outputs) if node else None)
        if outputs is None:
            outputs = self.step(op, args, kwargs, path, node)
        index = node.operation._inbound_nodes.index(node) if node else 0
        made = [v for v in tree.flatten(outputs) if v is not None]
        self.calls.append(Call(path, op, made, index))
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
        if takes(op.call, "training") and kwargs.get("training") is None:
            kwargs = {**kwargs, "training": False}
        step = Step(op, args, kwargs, [], path)
        declared = node and not is_half_turn(op)
        if declared and all(map(same_spec, step.reads, node.input_tensors)):
            outputs = [Value(t) for t in node.outputs]
        else:
            outputs = infer_outputs(op, args, kwargs)
            if None in tree.flatten(outputs):
                raise Opaque
            outputs = tree.map_structure(Value, outputs)
        step.outputs = tree.flatten(outputs)
        if not takes(op.call, "training") and isinstance(op, keras.layers.Layer) and not (
                kinds.is_built_in(op)):
            step.kwargs = {**kwargs, "training": False}  # Keras tells the layers inside of it
        self.steps.append(step)
        return outputs

    def inside(self, op, args, kwargs, path, count=None):
        """Record what `op` does inside; None if it is to stay one opaque step.

        Args:
            count: of its outputs, where it is known.
        """
        graph, frames = graph_of(op), is_time_distributed(op)
        if is_kept_closed() or graph is None and not (frames or is_composite(op)):
            return None
        mark = len(self.steps), len(self.calls)
        try:
            if frames:
                return self._over_frames(op, args, kwargs, path)
            if graph is None:
                return self._trace(op, args, kwargs, path, count)
            if len(args) == 1 and not any(v for k, v in kwargs.items() if k != "mask"):
                return self._inline(op, graph, args[0], kwargs.get("mask"), path)
        except Opaque:
            del self.steps[mark[0] :], self.calls[mark[1] :]
            self.settled = min(self.settled, mark[0])
        return None

    def _inline(self, op, graph, inputs, mask, path):
        if isinstance(inputs, dict) and not isinstance(graph._inputs_struct, dict):
            inputs = [inputs[ref.name] for ref in graph.inputs]
        values = tree.flatten(self._autocast(op, inputs))
        values = [self._cast(v, r.dtype) for v, r in zip(values, graph.inputs, strict=True)]
        if mask is not None:
            values = [self._append(SetMask(), pair, pair[0].spec)
                      for pair in zip(values, tree.flatten(mask), strict=True)]
        env = dict(zip(map(id, graph.inputs), values, strict=True))
        outputs = self._walk(graph._outputs_struct, env, path, Owner(op, inference=True))
        if not op.supports_masking:
            return outputs
        if has_own(op, "compute_mask"):
            raise Opaque
        flat = tree.flatten(outputs)  # what a layer call does to outputs without a mask
        for i, pair in enumerate(zip(flat, tree.flatten(inputs), strict=False)):
            flat[i] = self._append(KeepMask(), pair, pair[0].spec)
        return tree.pack_sequence_as(outputs, flat)

    def _trace(self, op, args, kwargs, path, count):
        args, kwargs = self._autocast(op, (args, kwargs))
        values = dict.fromkeys(v for v in tree.flatten((args, kwargs)) if isinstance(v, Value))
        owner, env = Owner(op, inference=False, inputs=list(values)), {}
        symbols = {v: self._symbol(v, env) for v in values}
        given, options = tree.map_structure(lambda v: symbols.get(v, v) if isinstance(v, Value)
                                            else v, (args, kwargs))
        if takes(op.call, "training"):
            options = {"training": False, **{k: v for k, v in options.items() if v is not None}}
        twin = view(op, **self._symbolic_weights(op, env), **free_of_lengths(op, values))
        try:
            outputs = call_as_layer(twin, op, given, options, owner)
        except Exception as error:  # it needs numbers, or does what only its backend can
            raise Opaque from error
        if count not in (None, len(tree.flatten(outputs))):
            raise Opaque  # it asks whether a layer inside gives None, where symbols stand for that
        self.traced[path] = []
        return self._walk(outputs, env, path, owner)

    def _over_frames(self, op, args, kwargs, path):
        """What `TimeDistributed` runs on each frame, where no mask tells it to leave some out."""
        (value,) = self._autocast(op, args)
        if self._mask_of(value) is not None or kwargs.get("mask") is not None:
            raise Opaque
        steps, calls, outputs = record_frames(op.layer, value, path, type(self)())
        self.steps += steps
        self.calls += calls
        return outputs

    def _symbol(self, value, env):
        """A symbolic tensor for `value`, with a symbolic mask where it will carry one."""
        symbol = env[value] = keras.KerasTensor(value.spec.shape, value.spec.dtype)
        env[id(symbol)] = value  # it holds the symbol as well: an id belongs to what is alive
        mask = self._mask_of(value)
        if mask is not None:
            of_mask = keras.KerasTensor(mask.shape, mask.dtype)
            env[id(of_mask)] = self._append(GetMask(), (value,), mask)
            set_mask(symbol, of_mask)
        return symbol

    def _symbolic_weights(self, op, env):
        """Symbolic tensors for the weights that are attributes of `op` itself.

        Without them what `call` computes from weights alone would be a number of now.
        """
        found = {}
        for name, variable in vars(op).items():
            if not isinstance(variable, keras.Variable):
                continue
            dtype = keras.backend.standardize_dtype(variable.dtype)
            symbol = keras.KerasTensor(variable.shape, dtype)
            env[id(symbol)] = variable
            if "float" in dtype and op.autocast and dtype != op.compute_dtype:
                symbol = keras.KerasTensor(variable.shape, op.compute_dtype)
                cast = VariableValue(variable, op.compute_dtype)
                env[id(symbol)] = self._append(cast, (), symbol)
            found[name] = env[name] = symbol
        return found

    def _walk(self, struct, env, path, owner):
        """Record the calls that made the symbolic tensors `struct`, back to those in `env`.

        Args:
            env: {id of a symbolic tensor: Value}.
            owner: whose inside this is.
        """
        pending = [t for t in tree.flatten(struct)[::-1] if t is not None]
        while pending:
            tensor = pending[-1]
            if id(tensor) in env:
                pending.pop()
                continue
            if not isinstance(tensor, keras.KerasTensor):
                owner.check_constants(tensor)
                env[id(tensor)] = self._append(ConstantValue(tensor), (), tensor)
                continue
            if id(tensor) in owner.masked:
                _, masked = owner.masked[id(tensor)]
                if id(masked) in env:
                    env[id(tensor)] = self._append(GetMask(), (env[id(masked)],), tensor)
                else:
                    pending.append(masked)
                continue
            op, needs, outputs, node = owner.origin(tensor)
            masks = [] if owner.inference else [get_mask(t) for t in outputs if has_new_mask(
                t, op, needs, owner)]
            missing = [t for t in [*needs, *masks] if t is not None and id(t) not in env]
            if missing:
                pending.extend(missing[::-1])
                continue
            args, kwargs = owner.arguments(tensor, node, env)
            check_variables(owner.layer, op, args, kwargs)
            if owner.inference:
                kwargs = {k: v for k, v in kwargs.items() if k != "training"}
            elif node is not None:
                owner.check_constants((args, kwargs))
                op, args = free_batch(node, args, owner.inputs)
            recorded = self.call(op, args, kwargs, path,
                                 node if node and op is node.operation else None)
            recorded = tree.flatten(recorded)
            if not owner.inference:
                recorded = [self._with_mask(v, t, env) if v is not None and has_new_mask(
                    t, op, needs, owner) else v for v, t in zip(recorded, outputs, strict=True)]
            env.update(zip(map(id, outputs), recorded, strict=True))
        outputs = tree.map_structure(lambda t: None if t is None else env[id(t)], struct)
        if any(not isinstance(v, Value) for v in tree.flatten(outputs) if v is not None):
            raise Opaque
        single = isinstance(outputs, (list, tuple)) and len(outputs) == 1
        return outputs[0] if single and owner.inference else outputs

    # Masks ------------------------------------------------------------------------------------

    def _with_mask(self, value, tensor, env):
        """`value` with the mask that the symbolic `tensor` has."""
        mask, carried = get_mask(tensor), self._mask_of(value)
        if mask is None and carried is None:
            return value
        mask = env.get(id(mask), mask)
        return self._append(SetMask(), (value, mask), value.spec)

    def _mask_of(self, value):
        """The symbolic mask that `value` carries when the program runs, or None."""
        self.masks = carry_masks(self.steps[self.settled :], self.masks)
        self.settled = len(self.steps)
        return self.masks.get(value)

    def _cast(self, value, dtype):
        if value.spec.dtype == dtype:
            return value
        fn = InputCast(dtype, casts_floats="float" in dtype or "float" in value.spec.dtype)
        return self._append(fn, (value,), keras.KerasTensor(value.spec.shape, dtype))

    def _autocast(self, op, values):
        """What a layer that is no Functional does to its inputs: floats in its own dtype."""
        if not (op._convert_input_args and op.autocast):
            return values
        return tree.map_structure(
            lambda v: self._cast(v, op.compute_dtype)
            if isinstance(v, Value) and "float" in v.spec.dtype else v, values)

    def _append(self, fn, args, spec):
        self.steps.append(Step(fn, args, {}, [Value(spec)]))
        return self.steps[-1].outputs[0]
