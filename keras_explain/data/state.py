"""Models that remember: what they answer depends on what they were asked before."""

import warnings

import keras
import numpy as np
from keras import ops, tree

from keras_explain import backend


class RandomModelWarning(UserWarning):
    """A model answers the same input differently each time."""


def look_at_state(model, x):
    """Before anything is explained: an error for what keeps state, a warning for what is random.

    A plain function is not asked: it is called as often as the user says, and cannot be reset.

    Args:
        model: a `keras.Model`, or a function from a batch to scores.
        x: a batch as it is called with. The first row is taken.

    Raises:
        ValueError: see `refuse_state`.
    """
    if isinstance(model, keras.Model) and refuse_state(model, x):
        warn_of_randomness(repr(model.name))


def warn_of_randomness(name, stacklevel=5):
    """Say that one explanation shows one draw."""
    warnings.warn(
        f"Expected {name} to answer equal inputs alike, received two answers for two copies of"
        " one: it is random at inference. An explanation shows one draw; take the mean of"
        " several.", RandomModelWarning, stacklevel=stacklevel)


def refuse_state(model, x):
    """An error for a model that answers otherwise the second time, because it keeps state.

    Found out by asking it twice, from a state of zeros. What it keeps stays as it is. A model that
    draws random numbers is no error here, nor is one that cannot be asked.

    Args:
        model: a `keras.Model`.
        x: inputs as the model is called with them; the first row is taken.

    Returns:
        Whether the model draws random numbers: it answers two copies of one input differently.

    Raises:
        ValueError: it keeps state.
    """
    size = next((s.shape[0] for s in tree.flatten(getattr(model, "inputs", None) or [])), None)
    try:
        x = tree.map_structure(lambda a: ops.repeat(ops.convert_to_tensor(a)[:1], size or 2, 0), x)
        kept, answers = _ask(model, x)
        if not kept:
            return _differ_by_row(answers)
        with keras.StatelessScope(state_mapping=[(v, ops.zeros(v.shape, v.dtype)) for v in kept]):
            first, second = _answers(model, x), _answers(model, x)
    except Exception:  # what the model itself cannot do with them, Keras speaks of
        return False
    if not _differ_by_row(first) and not all(map(_are_alike, first, second)):
        raise ValueError(
            f"Expected a model that answers an input alike each time, received {model.name!r},"
            " which keeps state from call to call, so that perturbed inputs would tell of each"
            " other. Build it without (`stateful=False`) and give it these weights:"
            " `other.set_weights(...)`."
        )
    return _differ_by_row(first)


class _Watched(keras.StatelessScope):
    """Knows which variables a model assigns to, and leaves them as they are."""

    def __init__(self):
        super().__init__()
        self.variables = {}

    def add_update(self, update):
        self.variables[id(update[0])] = update[0]
        super().add_update(update)


def _ask(model, x):
    """The variables that a model assigns to, and its answers."""
    with _Watched() as scope:
        answers = _answers(model, x)
    return list(scope.variables.values()), answers


def _answers(model, x):
    with backend.no_gradient():
        return [ops.convert_to_numpy(ops.cast(a, "float32"))
                for a in tree.flatten(model(x, training=False))]


def _differ_by_row(answers):
    return any(not _are_alike(a[:1], b) for a in answers for b in a[1:, None])


def _are_alike(a, b):
    return np.allclose(a, b, rtol=1e-5, atol=1e-6 * np.abs(b).max(initial=0), equal_nan=True)
