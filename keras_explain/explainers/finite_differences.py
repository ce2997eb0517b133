"""Gradients of anything that can be evaluated: central differences."""

import keras
import numpy as np

from keras_explain import targets
from keras_explain.batches import to_numpy


class FiniteDifferences:
    """What `saliency(predict_fn, method="finite_differences")` returns.

    Called on inputs, or with `predict`, it gives the dict of an explained model. It is no
    `keras.Model`: the function may be anything, so there is nothing to save or export.

    Args:
        predict_fn: function from a batch of inputs `(N, ...)` to scores `(N,)` or
            `(N, classes)`; a `keras.Model` is asked for its outputs.
        target: None (each example's best score), a class, one class per example, or a function
            from the outputs to a score per example.
        signed: False is the largest magnitude over channels, True the sum.
        step: half the distance between the two points; None takes the cube root of the dtype's
            precision, times the value where that is above 1.
        channel_axis: axis that the heatmap sums up; None for inputs without channels. By
            default the last one of inputs of rank 3 and more.
        batch_size: rows in one call of `predict_fn`.
    """

    def __init__(self, predict_fn, target=None, *, signed=False, step=None, channel_axis="last",
                 batch_size=128):
        if not callable(predict_fn):
            raise TypeError(
                "Expected a function from a batch to scores, received"
                f" {type(predict_fn).__name__}. Of a scikit-learn model pass `predict_proba`."
            )
        if isinstance(target, str):
            raise TypeError(
                "Expected `target` to be None, a class, one class per example or a function,"
                f" received {target!r}."
            )
        if step is not None and not step > 0:
            raise ValueError(f"Expected `step` above 0, received {step!r}.")
        if batch_size < 2:
            raise ValueError(f"Expected `batch_size` of at least 2, received {batch_size!r}.")
        self.predict_fn = (predict_fn.predict_on_batch if isinstance(predict_fn, keras.Model)
                           else predict_fn)
        self.target, self.signed, self.step = target, signed, step
        self.channel_axis, self.batch_size = channel_axis, batch_size

    def __call__(self, x):
        """Explain a batch.

        Args:
            x: numbers `(N, ...)`. Integers are taken as floats.

        Returns:
            `{"predictions", "heatmap"}`, the heatmap float32 without the channel axis.
        """
        x = _numbers(x)
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
                "heatmap": self._reduced(gradient.reshape(x.shape)).astype("float32")}

    def predict(self, x, verbose=0):
        """The same, under the name that explained models have."""
        return self(x)

    def _slopes(self, x, rows, features, classes):
        points = x[rows].reshape(len(rows), -1)
        at = np.arange(len(rows)), features
        values = points[at]
        step = self.step or np.cbrt(np.finfo(x.dtype).eps)
        step = step * np.ones_like(values) if self.step else step * np.maximum(1, np.abs(values))
        above, below = points.copy(), points
        above[at], below[at] = values + step, values - step
        distance = above[at] - below[at]  # as the dtype rounds it
        both = np.concatenate([above, below]).reshape(-1, *x.shape[1:])
        chosen = None if classes is None else np.tile(classes[rows], 2)
        scores = self._scores(self._outputs(both), chosen)
        return (scores[: len(rows)] - scores[len(rows) :]) / distance

    def _outputs(self, x):
        outputs = to_numpy(self.predict_fn(x))
        if outputs.ndim == 0 or len(outputs) != len(x):
            raise ValueError(
                f"Expected `predict_fn` to return one row per example, {len(x)}, received an"
                f" array of shape {outputs.shape}."
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
                f"Expected one class per example, {len(columns)}, received {len(target)}."
            )
        return np.where(np.asarray(target) < 0, columns.argmax(axis=1), target)

    def _reduced(self, gradient):
        axis = self.channel_axis
        if axis == "last":
            axis = -1 if gradient.ndim > 2 else None
        if axis is None:
            return gradient if self.signed else np.abs(gradient)
        return gradient.sum(axis=axis) if self.signed else np.abs(gradient).max(axis=axis)


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
