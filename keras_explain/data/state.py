"""Models that remember: what they answer depends on what they were asked before."""

import keras
import numpy as np
from keras import ops, tree

from keras_explain import backend


def refuse_state(model, x):
    """An error for a model that answers otherwise the second time, because it keeps state.

    Found out by asking it twice, from a state of zeros. What it keeps stays as it is. A model that
    draws random numbers is no error here, nor is one that cannot be asked.

    Args:
        model: a `keras.Model`.
        x: inputs as the model is called with them; the first row is taken.

    Raises:
        ValueError: it keeps state.
    """
    size = next((s.shape[0] for s in tree.flatten(getattr(model, "inputs", None) or [])), None)
    try:
        x = tree.map_structure(lambda a: ops.repeat(ops.convert_to_tensor(a)[:1], size or 2, 0), x)
        kept = _find_kept(model, x)
        if not kept:
            return
        with keras.StatelessScope(state_mapping=[(v, ops.zeros(v.shape, v.dtype)) for v in kept]):
            first, second = _answers(model, x), _answers(model, x)
    except Exception:  # what the model itself cannot do with them, Keras speaks of
        return
    is_random = any(not _are_alike(a[:1], b) for a in first for b in a[1:, None])
    if not is_random and not all(map(_are_alike, first, second)):
        raise ValueError(
            f"Expected a model that answers an input alike each time, received {model.name!r},"
            " which keeps state from call to call, so that perturbed inputs would tell of each"
            " other. Build it without (`stateful=False`) and give it these weights:"
            " `other.set_weights(...)`."
        )


class _Watched(keras.StatelessScope):
    """Knows which variables a model assigns to, and leaves them as they are."""

    def __init__(self):
        super().__init__()
        self.variables = {}

    def add_update(self, update):
        self.variables[id(update[0])] = update[0]
        super().add_update(update)


def _find_kept(model, x):
    with _Watched() as scope:
        _answers(model, x)
    return list(scope.variables.values())


def _answers(model, x):
    with backend.no_gradient():
        return [ops.convert_to_numpy(ops.cast(a, "float32"))
                for a in tree.flatten(model(x, training=False))]


def _are_alike(a, b):
    return np.allclose(a, b, rtol=1e-5, atol=1e-6 * np.abs(b).max(initial=0), equal_nan=True)
