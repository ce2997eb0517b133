"""What Keras tells about a model before it runs: its graph, its inputs, the layers inside."""

import contextlib
import inspect
import threading

import keras
from keras import tree

from keras_explain.graph import steps as kinds
from keras_explain.graph.frames import without_frames


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


def inner_layers(fn):
    """The layers inside a layer; nothing for other functions."""
    fn = without_frames(fn)
    if not isinstance(fn, keras.layers.Layer):
        return []
    return list(fn._flatten_layers(include_self=False))


def graph_of(layer):
    """The Functional that `layer` runs when it is called, or None."""
    if not isinstance(layer, keras.Model) or not kinds.is_built_in(layer):
        return None
    if isinstance(layer, keras.Sequential):
        return layer._functional
    return layer if hasattr(layer, "_outputs_struct") else None


def is_composite(layer):
    """A layer or model that is made of layers and operations, and no graph."""
    if not isinstance(layer, keras.layers.Layer) or not inner_layers(layer):
        return False
    return not kinds.is_built_in(layer) or isinstance(layer, keras.layers.SpectralNormalization)


def has_shapes(model):
    """Whether a model knows the shapes of its inputs, by `keras.Input` or by its first data."""
    if hasattr(graph_of(model) or model, "_inputs_struct"):
        return True
    return model.built and bool(getattr(model, "_build_shapes_dict", None))


def symbolic_inputs(model):
    graph = graph_of(model) or model
    if hasattr(graph, "_inputs_struct"):
        return graph._inputs_struct
    shapes = getattr(model, "_build_shapes_dict", None)
    if not has_shapes(model):
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


@contextlib.contextmanager
def leave_untouched(model):
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


_closed = threading.local()


@contextlib.contextmanager
def keep_closed():
    """In this thread models stay one step, with the answers that they give themselves."""
    _closed.on = True
    try:
        yield
    finally:
        _closed.on = False


def is_kept_closed():
    """Whether models and layers stay one step in this thread."""
    return getattr(_closed, "on", False)
