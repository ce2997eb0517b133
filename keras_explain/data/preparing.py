"""What a model does to its input before the network sees it, outside of the graph.

A model whose class overrides `predict` or `predict_step` may prepare there what it takes: tasks
of keras-hub tokenize texts and resize images. Calling such a model skips that. One rule holds
everywhere: what `model.predict` takes is what an explainer takes.

What the preparation is, is not guessed: the model's own methods run with a listener in place of
the model, which hears what the network would have been called with.
"""

import functools
import inspect
import types
import warnings

import keras
import numpy as np
from keras import ops, tree

from keras_explain import backend
from keras_explain.data.batches import each_batch, gives_batches, to_numpy

ROWS = 32  # what `predict` itself takes at a time


def prepares(model):
    """Whether `model.predict` is the model's own, so that it may prepare what it takes."""
    return isinstance(model, keras.Model) and not getattr(model, "prepares_itself", False) and (
        overrides(model, "predict") or overrides(model, "predict_step"))


def overrides(model, name):
    """Whether a method is not the one of `keras.Model`."""
    own = getattr(model, name)
    return getattr(own, "__func__", own) is not getattr(keras.Model, name)


def prepare(model, x):
    """What the network is called with when `model.predict` gets `x`.

    Args:
        model: a `keras.Model`.
        x: what `model.predict` takes: arrays, texts, a structure of them.

    Returns:
        `x` itself where the model prepares nothing, else a structure of NumPy arrays.

    Raises:
        ValueError: the model's `predict` does not call the network.
    """
    if not prepares(model):
        return x
    parts = [_hear(model, part) for part in _parts(as_arrays(x))]
    return tree.map_structure(lambda *a: np.concatenate(a), *parts)


def in_rows(x):
    """Any data that `predict` takes in pieces of some rows: arrays, texts or batches."""
    if not gives_batches(x):
        yield from _parts(as_arrays(x))
        return
    for batch in each_batch(x):
        yield tree.map_structure(
            to_numpy, batch[0] if isinstance(batch, (tuple, list)) else batch)


def as_arrays(x):
    """Leaves as NumPy arrays; a list of texts is one of them."""
    if isinstance(x, (list, tuple)) and x and isinstance(x[0], (str, bytes)):
        return np.array(x, object)
    if isinstance(x, dict):
        return {key: as_arrays(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)) and any(hasattr(a, "shape") or isinstance(a, (list, tuple))
                                            and a and isinstance(a[0], str) for a in x):
        return type(x)(as_arrays(a) for a in x)
    return to_numpy(x)


def answer(model, x):
    """What `model.predict` answers to one batch.

    `predict` itself is called only where the model's class overrides it: Keras's own builds a
    data pipeline each time. It may differ from `predict_on_batch`: tasks of keras-hub round
    integer pixels in one of them only.
    """
    if not prepares(model):
        return model.predict_on_batch(x)
    return _ask(model, x)


def _ask(model, x):
    with backend.same_random_state():
        if overrides(model, "predict"):
            return quiet(model.predict)(x)
        return keras.Model.predict_on_batch(model, x)


def quiet(predict):
    """A `predict` without its progress bar, where it has one."""
    taken = inspect.signature(predict).parameters.values()
    silent = any(p.name == "verbose" or p.kind is p.VAR_KEYWORD for p in taken)
    return functools.partial(predict, verbose=0) if silent else predict


def check_prepared(model, x, predictions):
    """Warn where `model.predict` says something else than the network on the prepared rows.

    Args:
        model: a model that prepares.
        x: rows as `model.predict` takes them.
        predictions: the network's answers to `prepare(model, x)`.
    """
    answers = [to_numpy(a) for a in tree.flatten(answer(model, as_arrays(x)))]
    mine = [to_numpy(a) for a in tree.flatten(predictions)]
    if len(answers) == len(mine) and all(
        a.shape == b.shape and np.allclose(a, b, rtol=1e-3, atol=1e-3 * _scale(b))
        for a, b in zip(answers, mine, strict=True)
    ):
        return
    warnings.warn(
        f"{model.name!r} overrides `predict`, and its answers are not those of its network: it"
        " changes them, or calls the network in another way. Explained is the network on what"
        " `predict` first calls it with. To explain what follows, make it part of a model.",
        stacklevel=2,
    )


def _scale(a):
    finite = np.abs(a[np.isfinite(a)]) if a.dtype.kind == "f" else np.ones(1)
    return max(float(finite.max(initial=0)), 1e-6)


def _parts(x):
    count = len(tree.flatten(x)[0])
    for start in range(0, max(count, 1), ROWS):
        yield tree.map_structure(lambda a, start=start: a[start : start + ROWS], x)


def _hear(model, x):
    listener = _Listener(model)
    try:
        _ask(listener, x)
    except _Called as called:
        return tree.map_structure(to_numpy, called.inputs)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        told = next((line.strip() for line in lines if "Error: " in line), lines[0])
        raise ValueError(_message(model, f"one that fails there: {told}")) from error
    raise ValueError(_message(model, "one that returns without doing so"))


def _message(model, received):
    return (
        f"Expected the `predict` of {type(model).__name__!r}, which overrides that of"
        f" `keras.Model`, to call the network once for each batch, received {received}. Give"
        " what `predict` takes, as texts or pictures; for what the network takes explain"
        " keras.Model(model.inputs, model.outputs)."
    )


class _Called(BaseException):
    """The network would be called now. Not an `Exception`, which the model might catch."""

    def __init__(self, inputs):
        super().__init__()
        self.inputs = inputs


class _Listener:
    """Stands in for a model as `self` of its own methods, and hears what they call it with.

    It has the attributes and methods of the model; what they assign, they assign to it.
    """

    def __init__(self, model):
        self.__dict__["_heard_model"] = model

    @property
    def __class__(self):  # so that `super()` in the model's methods finds its way
        return type(self.__dict__["_heard_model"])

    def __getattr__(self, name):
        model = self.__dict__["_heard_model"]
        found = getattr(model, name)
        if isinstance(found, types.MethodType) and found.__self__ is model:
            return types.MethodType(found.__func__, self)
        return found

    def __setattr__(self, name, value):
        self.__dict__[name] = value

    trainable_variables = non_trainable_variables = metrics_variables = ()  # none to touch

    def __call__(self, inputs, *args, **kwargs):
        raise _Called(inputs)

    def call(self, inputs, *args, **kwargs):
        raise _Called(inputs)

    def stateless_call(self, trainable, non_trainable, inputs, *args, **kwargs):
        raise _Called(inputs)

    def make_predict_function(self, force=False):
        return self.predict_function

    def predict_function(self, *given):
        """In place of the compiled step: the first batch of the data goes to the step as it is."""
        *state, batches = given
        (x, *_) = batch if isinstance(batch := next(iter(batches)), tuple) else (batch,)
        x = tree.map_structure(_tensor, x)
        self.predict_step(*state, (x,))


def _tensor(a):
    """What the compiled step gets; texts stay as they are."""
    texts = isinstance(a, np.ndarray) and a.dtype.kind in "OUS"
    return a if texts else ops.convert_to_tensor(a)
