"""Layers run on tensors while each operation inside is watched.

Symbolic tensors tell what a layer computes only where it needs no sizes that are not known yet,
and gives nothing but tensors. Here a layer runs on numbers that operations take for symbolic
tensors: each then comes by with its numbers. While that goes on, `symbolic_call` of operations and
layers, the `Node` that a layer records and `ops.shape` are exchanged, in the thread that watches;
`tests/graph/test_live.py` pins these names, and that they are put back.
"""

import contextlib
import threading

import keras
from keras import ops, tree

from keras_explain.graph import steps as kinds
from keras_explain.graph.masks import get_mask, set_mask
from keras_explain.graph.models import graph_of, inner_layers, view
from keras_explain.graph.opening import OPENED, split_activation

_watching = threading.local()
_lock = threading.RLock()
_scopes = []  # of all threads


class Live(keras.KerasTensor):
    """A tensor with numbers, `value`, that operations take for a symbolic one.

    Args:
        value: a tensor; its sizes may be known only when the graph runs.
        origin: what the watcher knows it by.
    """

    def __init__(self, value, origin=None):
        super().__init__((), keras.backend.standardize_dtype(value.dtype), record_history=False)
        self.value, self.origin, self._shape = value, origin, tuple(value.shape)
        if get_mask(value) is not None:
            set_mask(self, get_mask(value))

    def _leave(self, *_, **__):
        """The numbers, for a function of the backend itself: what it makes of them is unseen."""
        _watching.left = True
        return unwrap(self)

    __tf_tensor__ = _leave  # JAX asks for arrays
    __jax_array__ = None  # its arrays leave `array + live` to this

    @classmethod
    def __torch_function__(cls, fn, types, args=(), kwargs=None):
        leave = lambda x: x._leave() if isinstance(x, cls) else x  # noqa: E731 - for two trees
        return fn(*tree.map_structure(leave, args), **tree.map_structure(leave, kwargs or {}))


def have_left():
    """Whether the layer that is watched has handed numbers to functions that are not Keras's."""
    return getattr(_watching, "left", False)


def unwrap(x):
    """The tensor of a `Live`, with its mask; anything else as it is."""
    if not isinstance(x, Live):
        return x
    if get_mask(x) is not None and get_mask(x.value) is None:
        set_mask(x.value, get_mask(x))
    return x.value


def run_watched(layer, args, kwargs, watch):
    """Call a layer, and `watch(fn, args, kwargs)` in place of each operation inside.

    Args:
        args, kwargs: of the call; what is a `Live` there is followed.
        watch: it gets arguments with `Live` tensors and returns a structure of them.

    Returns:
        What the layer returns, with `Live` tensors.
    """
    with _watch(watch):
        return _with_live_weights(layer)(*args, **kwargs)


@contextlib.contextmanager
def _watch(watch):
    before = getattr(_watching, "watch", None), have_left()
    _watching.watch, _watching.left = watch, False
    with _lock:
        if not _scopes:
            _install()
        _scopes.append(watch)
    try:
        yield
    finally:
        _watching.watch, _watching.left = before
        with _lock:
            _scopes.pop()
            if not _scopes:
                _put_back()


_originals = {}


def _install():
    for owner, name, replace in _PLACES:
        _originals[owner, name] = vars(owner)[name]
        setattr(owner, name, replace(vars(owner)[name]))


def _put_back():
    for owner, name, _ in _PLACES:
        setattr(owner, name, _originals.pop((owner, name)))


def _without_node(original):
    """`Node`, which notes nothing on the user's layers in threads that watch."""

    def node(*args, **kwargs):
        return None if getattr(_watching, "watch", None) else original(*args, **kwargs)

    return node


def _with_sizes(original):
    """`ops.shape`, which gives sizes of tensors with numbers as those have them."""

    def shape(x):
        return original(x.value if isinstance(x, Live) else x)

    return shape


def _dispatch(original):
    """`symbolic_call`, in threads that watch for what is computed."""

    def symbolic_call(self, *args, **kwargs):
        watch = getattr(_watching, "watch", None)
        if watch is None:
            return original(self, *args, **kwargs)
        if is_looked_into(self):
            return _with_live_weights(self).call(*args, **kwargs)
        first, activation = split_activation(self)
        found = watch(first, args, kwargs)
        return found if activation is None else watch(activation, (found,), {})

    return symbolic_call


_PLACES = (
    (keras.Operation, "symbolic_call", _dispatch), (keras.layers.Layer, "symbolic_call", _dispatch),
    (keras.src.layers.layer, "Node", _without_node), (keras.ops, "shape", _with_sizes),
    (keras.src.ops, "shape", _with_sizes), (keras.src.ops.core, "shape", _with_sizes),
)


def is_looked_into(op):
    """Whether the operations inside are watched, and not `op` as a whole."""
    if not isinstance(op, keras.layers.Layer):
        return False
    return bool(graph_of(op)) or isinstance(op, OPENED) or not kinds.is_built_in(op) and (
        bool(inner_layers(op)) or bool(op.weights) or not kinds.is_of_keras(op))


def _with_live_weights(layer):
    """A layer whose own weights show what is computed with them."""
    found = {}
    for name, variable in vars(layer).items():
        if isinstance(variable, keras.Variable) and "float" in variable.dtype and (
                not kinds.is_built_in(layer)):
            value = ops.convert_to_tensor(variable)
            if layer.autocast and layer.compute_dtype != variable.dtype:
                value = ops.cast(value, layer.compute_dtype)
            found[name] = Live(value, "weight")
    return view(layer, **found) if found else layer


def flatten_live(structure):
    """The `Live` tensors of a structure, in order."""
    return [x for x in tree.flatten(structure) if isinstance(x, Live)]
