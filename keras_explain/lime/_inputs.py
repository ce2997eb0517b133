"""What goes into a predictor: the model that a method stands for, and batches as it takes them."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_explain import backend
from keras_explain.data.preparing import check_prepared, overrides, prepare, prepares, quiet
from keras_explain.lime._scores import to_array
from keras_explain.targets._target import Target


def pad(array: np.ndarray, length: int | None) -> np.ndarray:
    """`array` with its last row repeated up to `length` rows, if it has fewer."""
    missing = (length or 0) - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing > 0 else array


def count_rows(batch: Any, of_inputs: bool = False) -> int:
    """How many inputs a batch holds: an array, a table, a list, or `of_inputs` one array each."""
    if of_inputs or isinstance(batch, dict):
        batch = tree.flatten(batch)[0]
    return batch.shape[0] if hasattr(batch, "shape") else len(batch)


def check_given(given, model, target, executor):
    """Refuse what a `Predictor` cannot make scores of: `given` by the user, which is `model`."""
    if not isinstance(model, keras.Model) and not callable(model):
        probabilities = hasattr(given, "predict_proba")
        raise TypeError(
            "Expected a Keras model or a callable from a batch to scores, received"
            f" {type(given).__name__}."
            f" {'Pass its predict_proba method' if probabilities else 'Wrap it in a function'}."
        )
    if not isinstance(model, keras.Model) and executor is not None:
        raise TypeError("Expected executor= together with a Keras model, received a callable."
                        " Pass the executor as the model.")
    if isinstance(target, Target) and executor is not None:
        raise ValueError(
            "Expected the model itself, which a target looks into, received an executor or"
            f" precision='bfloat16' with {target!r}. Leave it out.")
    if isinstance(model, keras.Model) and not model.built:
        raise ValueError(
            f"Expected a built model, received {model.name!r} without weights. Call it on "
            "one batch first."
        )
    refuse_labels(model)


def refuse_labels(model):
    owner = getattr(model, "__self__", None)
    if getattr(model, "__name__", "") == "predict" and hasattr(owner, "predict_proba"):
        raise TypeError(
            "Expected a function that gives scores, received the method `predict` of"
            f" {type(owner).__name__}, which gives classes. Pass its predict_proba method."
        )


class Preparation:
    """What a model's own `predict` does before the network, after the `preprocess` of the user."""

    def __init__(self, model, preprocess):
        self._model, self._preprocess, self._checked = model, preprocess, False

    def __call__(self, batch):
        batch = batch if self._preprocess is None else self._preprocess(batch)
        made = prepare(self._model, batch)
        if not self._checked:
            self._checked = True
            check_prepared(self._model, batch, self._model(made, training=False))
        return made


def unbind(model):
    """The model itself, where a method of it is passed that Keras wrote."""
    owner = getattr(model, "__self__", None)
    name = getattr(model, "__name__", "")
    if not isinstance(owner, keras.Model):
        return model
    if name in ("__call__", "call"):
        return owner
    if name not in ("predict", "predict_on_batch"):
        return model
    return quiet(model) if prepares(owner) or overrides(owner, name) else owner


def takes_tensors(preprocess: Callable[..., Any] | None, sample: np.ndarray) -> bool:
    """Whether `preprocess` computes the same on tensors inside a compiled function."""
    if preprocess is None or isinstance(preprocess, Preparation):
        return preprocess is None
    expected = np.asarray(preprocess(sample.copy()))
    try:
        received = ops.convert_to_numpy(backend.compile_function(preprocess)(sample))
    except Exception:  # whatever a function written for NumPy raises on symbolic tensors
        return False
    return expected.shape == received.shape and np.allclose(
        expected, received, rtol=1e-4, atol=1e-5 * max(np.abs(expected).max(), 1e-6)
    )


def to_arrays(batch):
    """NumPy arrays of what `preprocess` made; a list of texts or of rows is one array."""
    if isinstance(batch, list) and not hasattr(batch[0], "shape"):
        return np.array(batch, dtype=object) if isinstance(batch[0], str) else to_array(batch)
    return tree.map_structure(to_array, batch)
