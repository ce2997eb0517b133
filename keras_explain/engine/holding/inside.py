"""Gates inside of a layer that is one step: seen while it runs, and held while it runs."""

import copy
import itertools

import keras
from keras import ops, tree

from keras_explain import backend
from keras_explain.engine.holding.trial import ROWS
from keras_explain.graph.live import (
    Live,
    flatten_live,
    have_left,
    is_looked_into,
    run_watched,
    unwrap,
)
from keras_explain.graph.models import is_kept_closed
from keras_explain.graph.steps import Step, Value


def record(trial, step):
    """The steps inside of a step, with their numbers in `trial`; None where they cannot be seen.

    Returns:
        The steps, a Value (or None: it depends on nothing) for each output of `step`, and those of
        the steps of which it is not known what they read: numbers that functions of the backend
        made, which nobody watched.
    """
    if not is_looked_into(step.fn) or is_kept_closed():
        return None
    steps, numbers, unsure = [], {}, []

    def know(x):
        """The Value of a live tensor."""
        if not isinstance(x.origin, Value):  # a weight of the layer
            x.origin = Value(keras.KerasTensor(x.value.shape, x.dtype))
            numbers[x.origin] = x.value
        return x.origin

    def watch(fn, args, kwargs):
        outputs = fn(*tree.map_structure(unwrap, args), **tree.map_structure(unwrap, kwargs))
        made = tree.map_structure(
            lambda y: Live(y, _value_of(y)) if ops.is_tensor(y) else y, outputs)
        flat = flatten_live(made)
        numbers.update((y.origin, y.value) for y in flat)
        known = tree.map_structure(lambda x: know(x) if isinstance(x, Live) else x, (args, kwargs))
        path = "/".join(p for p in (step.path, getattr(fn, "name", "")) if p)
        steps.append(Step(fn, *known, [y.origin for y in flat], path))
        if have_left() and any(map(_is_unseen, tree.flatten(known))):
            unsure.append(steps[-1])
        return made

    args, kwargs = tree.map_structure(
        lambda v: Live(trial.numbers[v], v) if isinstance(v, Value) else v,
        (step.args, step.kwargs))
    try:
        with backend.no_gradient(), keras.StatelessScope():
            outputs = tree.flatten(run_watched(step.fn, args, kwargs, watch))
            unseen = any(map(_is_unseen, outputs))
    except Exception:  # it asks for numbers, or does what only its backend can
        return None
    if len(outputs) != len(step.outputs) or not steps or unseen:
        return None
    trial.numbers.update(numbers)
    return steps, [y.origin if isinstance(y, Live) else None for y in outputs], unsure


def _is_unseen(x):
    """Whether `x` holds numbers that may depend on the input without anybody having seen how."""
    return have_left() and ops.is_tensor(x) and not isinstance(x, (Live, keras.Variable)) and (
        "float" in keras.backend.standardize_dtype(x.dtype))


def _value_of(tensor):
    shape = tuple(tensor.shape)
    free = bool(shape) and shape[0] % ROWS == 0
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return Value(keras.KerasTensor((None, *shape[1:]) if free else shape, dtype))


class HeldInside:
    """A layer in which some operations are held.

    Args:
        fn: the layer.
        rules: {number of an operation, in the order of the calls: its `Held`}.
        names: the classes of all operations, in that order.
    """

    def __init__(self, fn, rules, names):
        self.fn, self.rules, self.names = fn, rules, names

    def __call__(self, one, *args, **kwargs):
        def hold(rule):
            def run(fn, args, kwargs):
                now = copy.copy(rule)
                now.fn = fn  # with the sizes of now
                return now(one, *args, **kwargs)
            return run

        return replay(self.fn, {n: hold(rule) for n, rule in self.rules.items()}, self.names,
                      args, kwargs)


def replay(layer, rules, names, args, kwargs):
    """Run a layer that was recorded, with others in the place of some operations inside.

    Args:
        layer: as it was recorded.
        rules: {number of an operation, in the order of the calls: `run(fn, args, kwargs)`}.
        names: the classes of all operations, in that order.
        args, kwargs: of the call.

    Raises:
        ValueError: the layer computes something else now.
    """
    numbers = itertools.count()

    def watch(fn, args, kwargs):
        number = next(numbers)
        if number >= len(names) or names[number] is not type(fn):
            raise ValueError(
                f"Expected {layer.name!r} to compute the same for inputs of every size,"
                f" received {type(fn).__name__} as operation {number}. Use"
                " `integrated_gradients` or `occlusion`."
            )
        args, kwargs = tree.map_structure(unwrap, (args, kwargs))
        rule = rules.get(number)
        found = fn(*args, **kwargs) if rule is None else rule(fn, args, kwargs)
        return tree.map_structure(lambda y: Live(y) if ops.is_tensor(y) else y, found)

    args, kwargs = tree.map_structure(
        lambda x: Live(x) if ops.is_tensor(x) and not isinstance(x, keras.Variable) else x,
        (args, kwargs))
    return tree.map_structure(unwrap, run_watched(layer, args, kwargs, watch))
