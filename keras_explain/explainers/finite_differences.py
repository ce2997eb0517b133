"""Gradients of anything that can be evaluated: central differences."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np

from keras_explain.checks import check_bool, check_integer
from keras_explain.data.batches import to_numpy
from keras_explain.data.preparing import answer
from keras_explain.data.state import look_at_state
from keras_explain.graph import targets


class FiniteDifferences:
    """What `finite_differences` returns: called on inputs, or with `predict`, it explains them.

    It gives the dict of an explained model, but is no `keras.Model`: the function may be
    anything, so there is nothing to save or export.
    """

    def __init__(self, model, *, target=None, signed=False, epsilon=None, channel_axis="last",
                 batch_size=128):
        if not callable(model):
            raise TypeError(
                "Expected a function from a batch to scores, received"
                f" {type(model).__name__}. Of a scikit-learn model pass `predict_proba`."
            )
        if isinstance(target, str):
            raise TypeError(
                "Expected `target` to be None, a class, one class per example or a function,"
                f" received {target!r}. Pass the index of the class."
            )
        if epsilon is not None and not epsilon > 0:
            raise ValueError(
                f"Expected `epsilon` above 0, received {epsilon!r}. None suits the precision of the"
                " inputs.")
        batch_size = check_integer("batch_size", batch_size, 2)
        self.model = (functools.partial(answer, model) if isinstance(model, keras.Model)
                      else model)
        self._unasked = model if isinstance(model, keras.Model) else None  # about its state
        self.target, self.epsilon = target, epsilon
        self.signed = check_bool("signed", signed)
        self.channel_axis, self.batch_size = channel_axis, batch_size

    def __call__(self, x):
        """Explain a batch.

        Args:
            x: numbers `(N, ...)`. Integers are taken as floats.

        Returns:
            `{"predictions", "heatmap"}`, the heatmap float32 without the channel axis.
        """
        x = _numbers(x)
        if self._unasked is not None:
            look_at_state(self._unasked, x)
            self._unasked = None
        predictions = np.concatenate(
            [self._outputs(x[i : i + self.batch_size]) for i in range(0, len(x), self.batch_size)]
        )
        classes = None if callable(self.target) else self._classes(predictions)
        gradient = np.zeros((len(x), x[0].size), x.dtype)
        pairs = self.batch_size // 2
        for start in range(0, gradient.size, pairs):
            flat = np.arange(start, min(start + pairs, gradient.size))
            rows, features = np.divmod(flat, gradient.shape[1])
            gradient[rows, features] = self._slopes(x, rows, features, classes)
        return {"predictions": predictions,
                "heatmap": self._reduce(gradient.reshape(x.shape)).astype("float32")}

    def predict(self, x, verbose=0):
        """The same, under the name that explained models have."""
        return self(x)

    def _slopes(self, x, rows, features, classes):
        points = x[rows].reshape(len(rows), -1)
        at = np.arange(len(rows)), features
        values = points[at]
        step = self.epsilon or np.cbrt(np.finfo(x.dtype).eps)
        step = step * np.ones_like(values) if self.epsilon else step * np.maximum(1, np.abs(values))
        above, below = points.copy(), points
        above[at], below[at] = values + step, values - step
        distance = above[at] - below[at]  # as the dtype rounds it
        both = np.concatenate([above, below]).reshape(-1, *x.shape[1:])
        chosen = None if classes is None else np.tile(classes[rows], 2)
        scores = self._scores(self._outputs(both), chosen)
        return (scores[: len(rows)] - scores[len(rows) :]) / distance

    def _outputs(self, x):
        outputs = to_numpy(self.model(x))
        if outputs.ndim == 0 or len(outputs) != len(x):
            raise ValueError(
                f"Expected `model` to return one row per example, {len(x)}, received an"
                f" array of shape {outputs.shape}. It is called with several examples at a time."
            )
        return outputs

    def _scores(self, outputs, classes):
        if callable(self.target):
            return to_numpy(self.target(outputs)).reshape(len(outputs))
        columns = outputs.reshape(len(outputs), -1)
        return columns[np.arange(len(columns)), classes].astype("float64")

    def _classes(self, outputs):
        """The column of each example."""
        columns = outputs.reshape(len(outputs), -1)
        target = targets.check(self.target, columns.shape[1])
        if target is None:
            return columns.argmax(axis=1)
        if isinstance(target, int):
            return np.full(len(columns), target)
        if len(target) != len(columns):
            raise ValueError(
                f"Expected one class per example, {len(columns)}, received {len(target)}. Pass one"
                " integer to explain the same class everywhere."
            )
        return np.where(np.asarray(target) < 0, columns.argmax(axis=1), target)

    def _reduce(self, gradient):
        axis = self.channel_axis
        if axis == "last":
            axis = -1 if gradient.ndim > 2 else None
        if axis is None:
            return gradient if self.signed else np.abs(gradient)
        return gradient.sum(axis=axis) if self.signed else np.abs(gradient).max(axis=axis)


def finite_differences(
    model: Any, *, target: int | Sequence[int] | Callable[..., Any] | None = None,
    signed: bool = False, epsilon: float | None = None,
    channel_axis: int | Literal["last"] | None = "last", batch_size: int = 128,
) -> FiniteDifferences:
    """Explain anything that can be evaluated by the slope of its score at each input.

    The central difference stands for the gradient that `saliency` takes: the way to the
    saliency of a model that has none, of any library. Costs two evaluations for each number of
    the input, so it is for tables and small inputs.

    Args:
        model: a function from a batch (N, ...) to scores (N,) or (N, classes), or a
            `keras.Model`.
        target: None (each example's best score), a class, one class per example, or a function
            from the outputs to a score per example; all of the answers as they are, so that an
            object of `keras_explain.targets` is asked of probabilities where the model gives those.
        signed: True keeps the sign and sums over the channels; False takes the largest
            magnitude.
        epsilon: half the distance between the two points; None takes the cube root of the
            precision, times the value where that is above 1.
        channel_axis: axis that the heatmap sums up; None for inputs without channels; "last":
            the last one of inputs of rank 3 and more.
        batch_size: rows in one evaluation.

    Returns:
        A `FiniteDifferences`: called on inputs it gives {"predictions", "heatmap"}, the heatmap
        float32 without the channel axis, in units of the score per unit of input.

    Raises:
        TypeError: `model` cannot be called, inputs that are no numbers.
        ValueError: an `epsilon` or `batch_size` that cannot be; answers that are not one row
            per example; a `keras.Model` that keeps state from call to call.

    Example:
        >>> import numpy as np, keras_explain as kx
        >>> slopes = kx.finite_differences(lambda x: 3 * x[:, 0] - x[:, 1], signed=True)
        >>> slopes(np.ones((1, 2)))["heatmap"].round(3)
        array([[ 3., -1.]], dtype=float32)
    """
    return FiniteDifferences(model, target=target, signed=signed, epsilon=epsilon,
                             channel_axis=channel_axis, batch_size=batch_size)


def _numbers(x):
    x = to_numpy(x)
    if x.dtype.kind not in "fiub" or x.ndim < 2 or not x.size:
        raise TypeError(
            "Expected numbers of shape (N, ...), of which slopes can be taken, received an array"
            f" of dtype {x.dtype} and shape {x.shape}. For texts use LIME."
        )
    if x.dtype.kind != "f" or x.dtype.itemsize < 4:
        x = x.astype("float32")
    if not np.isfinite(x).all():
        raise ValueError("Expected finite inputs, received NaN or infinity. Clean the data first.")
    return x
