"""The examples on which a model is most wrong."""

import keras
import numpy as np
from keras import tree

from keras_explain.data.predicting import predict_rows

_BATCH = 64


class WorstExamples:
    """Finds the k examples of highest loss, with the loss that the model trains on.

    Args:
        model: a compiled model with one output.
        inputs, targets: the candidates, as the model trains on them.
        count: k.

    Raises:
        ValueError: there are no targets, or the model is not compiled with one loss.
    """

    def __init__(self, model, inputs, targets, count):
        loss = getattr(model, "loss", None)
        one_loss = isinstance(loss, str) or callable(loss)
        if targets is None or tree.is_nested(targets) or not one_loss:
            raise ValueError(
                'Expected labels and a model compiled with one loss for pick="worst", received'
                f" {'no labels' if targets is None else f'loss {loss!r}'}. Pass `labels`, or use"
                ' pick="first".'
            )
        self.model, self.inputs, self.targets = model, inputs, targets
        self.size = len(targets)
        self.count, self.loss = min(count, self.size), _one_by_one(loss)

    def rows(self):
        """Indices of the worst examples, worst first."""
        losses = np.concatenate([self._losses(first) for first in range(0, self.size, _BATCH)])
        return np.argsort(-np.nan_to_num(losses[: self.size], nan=np.inf), kind="stable")[
            : self.count
        ]

    def _losses(self, first):
        rows = np.arange(first, first + _BATCH) % self.size  # one batch size: one trace
        predictions = predict_rows(self.model, take(self.inputs, rows))
        losses = self.loss(self.targets[rows], predictions)
        losses = keras.ops.convert_to_numpy(losses).astype("float64")
        return losses.reshape(_BATCH, -1).mean(axis=1)


def take(inputs, rows):
    """The examples `rows` of every input."""
    return tree.map_structure(lambda x: x[rows], inputs)


def _one_by_one(loss):
    """The loss as a function with one value for each example."""
    loss = keras.losses.get(loss)
    if isinstance(loss, keras.losses.Loss):
        return type(loss).from_config({**loss.get_config(), "reduction": None})
    return loss
