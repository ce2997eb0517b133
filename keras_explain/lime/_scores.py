"""What a model answered, as a column of scores for each class."""

import sys
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_explain.graph.targets import two_columns

_ROUNDING = 1e-6  # by which a probability may leave 0..1


def to_columns(scores: Any, binary: bool | None) -> np.ndarray:
    """Scores as floats `(N, classes)`; of a single column with `binary=True` both classes.

    Raises:
        TypeError: something else than numbers.
        ValueError: rows of different lengths; no probabilities, with `binary=True`.
    """
    scores = to_array(scores)
    if scores.dtype.kind not in "buif" and scores.dtype.name != "bfloat16":
        raise TypeError(
            f"Expected scores, received {scores.dtype.type.__name__} such as"
            f" {scores.ravel()[:1].tolist()}. Pass a function that gives numbers, such as"
            " `predict_proba`, not names of classes."
        )
    if scores.dtype not in (np.float32, np.float64):
        scores = scores.astype(np.float32)
    if scores.ndim == 1:
        scores = scores[:, None]
    if scores.ndim == 2 and scores.shape[1] == 1:
        if binary:
            return complete(scores)
    return scores


def complete(scores: np.ndarray) -> np.ndarray:
    """Both classes `(N, 2)` from the probability of class 1.

    Raises:
        ValueError: it is no probability.
    """
    if not may_be_probability(scores):
        raise ValueError(
            "Expected the probability of class 1, because one score stands for two classes,"
            f" received scores from {np.nanmin(scores):.3g} to {np.nanmax(scores):.3g}. Give a"
            " score that is no probability one class name, or pass"
            " Predictor(model, binary=False)."
        )
    return two_columns(scores)


def may_be_probability(scores: np.ndarray) -> bool:
    """Whether no score lies outside of 0..1."""
    return not ((scores < -_ROUNDING) | (scores > 1 + _ROUNDING)).any()


def choose_output(outputs: Any, count: int) -> Any:
    """The scores in what a callable returned for `count` inputs, where nobody chose an output.

    A list with one row of scores for each input is scores. Several arrays are several outputs.

    Raises:
        ValueError: several outputs.
    """
    if not isinstance(outputs, (list, tuple)):
        return outputs
    if len(outputs) == 1 and np.ndim(outputs[0]) and len(outputs[0]) == count:
        return outputs[0]
    ranks = [_rank(output) for output in outputs]
    is_rows = len(outputs) == count and max(ranks, default=0) < 2
    is_plain = isinstance(outputs, list) or not any(ranks)
    if is_rows and is_plain:
        return outputs
    raise ValueError(
        f"Expected one array of scores for {count} inputs, received a {type(outputs).__name__} of"
        f" {len(outputs)} outputs from the model. Choose one:"
        " Predictor(model, output=0)."
    )


def pick_output(model: Any, outputs: Any, key: str | int | None) -> Any:
    """One of the outputs of a model or callable, by key, name or position."""
    if not isinstance(outputs, (dict, list, tuple)):
        return outputs
    if key is None and not isinstance(model, keras.Model) and not isinstance(outputs, dict):
        return outputs  # scores as nested lists, or several outputs: the count will tell
    names = list(getattr(model, "output_names", range(len(outputs))))
    if isinstance(outputs, dict):
        names, outputs = list(outputs), list(outputs.values())
    if key is None and len(outputs) == 1:
        return outputs[0]
    if key in names:
        return outputs[names.index(key)]
    if isinstance(key, int) and -len(outputs) <= key < len(outputs):
        return outputs[key]
    raise ValueError(
        f"Expected output= to choose one of the outputs {names}, received {key!r}. Explain "
        "Predictor(model, output=...)."
    )


def to_array(leaf: Any) -> np.ndarray:
    """A tensor, a sparse matrix, a frame or nested lists as an array.

    Raises:
        ValueError: rows of different lengths.
    """
    if hasattr(leaf, "toarray"):  # scipy's sparse matrices, from scikit-learn's vectorizers
        return leaf.toarray()
    if ops.is_tensor(leaf):
        return ops.convert_to_numpy(leaf)
    if isinstance(leaf, (list, tuple)) and any(ops.is_tensor(row) for row in leaf):
        leaf = [to_array(row) for row in leaf]
    try:
        return np.asarray(leaf)
    except ValueError:
        lengths = sorted({np.size(row) for row in leaf})
        raise ValueError(
            f"Expected rows of one length, received rows of {lengths} values. Give every input"
            " as many, in one order."
        ) from None


def is_regressor(model: Any) -> bool:
    """Whether a callable is the method of a regressor of scikit-learn."""
    owner, sklearn = getattr(model, "__self__", None), sys.modules.get("sklearn.base")
    return owner is not None and sklearn is not None and _says_regressor(sklearn, owner)


def _says_regressor(sklearn, owner):
    try:
        return bool(sklearn.is_regressor(owner))
    except Exception:  # an object of another library that only looks like an estimator
        return False


def _rank(output):
    shape = getattr(output, "shape", None)
    if shape is not None:
        return len(shape)
    if isinstance(output, (list, tuple)):
        return 1 + max(map(_rank, output), default=0)
    return 0
