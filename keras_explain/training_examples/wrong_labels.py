"""`find_wrong_labels`: which labels of the training data does the model not believe?"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_explain.checks import check_positive
from keras_explain.data.batches import batches
from keras_explain.progress import Verbose
from keras_explain.signatures import Array, Data
from keras_explain.training_examples._head import Head, probabilities
from keras_explain.training_examples.checkpoints import check_checkpoints


@dataclasses.dataclass(frozen=True, eq=False)
class WrongLabels:
    """How much each example of a data set pulls at the model against the others.

    Args:
        scores: (N,), the self-influence of each example, in the order of the data.
        predicted: (N, classes), what the model answers instead of the label: probabilities, or
            numbers where it predicts numbers.
    """

    scores: Array
    predicted: Array

    def order(self) -> np.ndarray:
        """Indices of the examples (N,), the most suspicious label first."""
        return np.argsort(-self.scores, kind="stable")


def find_wrong_labels(
    model: keras.Model, data: Data, y: Array | None = None, *,
    checkpoints: Sequence[Any] | None = None, batch_size: int = 128, verbose: Verbose = "auto",
) -> WrongLabels:
    """Rank the labels of a data set by how likely they are wrong: self-influence.

    An example whose label is wrong has no others to back it, so that a model can answer it only by
    learning it by heart, and until then its own gradient is large. TracIn's self-influence is the
    squared length of that gradient, here by the weights of the last layer. Rare and odd examples
    rank high as well: look before you change a label. A model that has learnt all labels by heart
    shows little; give `checkpoints` of earlier epochs then.

    Args:
        model: a built `keras.Model`, trained on these data (or others of the kind).
        data: arrays, or what gives batches as `model.fit` takes them. It is gone through once.
        y: labels of arrays; None takes those that come with the data.
        checkpoints: states of the last layer during training, from a `HeadCheckpointCallback`; None
            asks the model as it is. Features are those of the model as it is.
        batch_size: examples of a forward pass. It bounds the memory and changes no number.
        verbose: whether progress is shown: "auto" on a terminal, 1 always, 0 never.

    Returns:
        A `WrongLabels`; its `order()` lists the most suspicious first.

    Raises:
        ValueError: no labels, labels that the model does not score, or no linear last layer.

    Reference: Pruthi et al. 2020, "Estimating Training Data Influence by Tracing Gradient Descent",
    https://arxiv.org/abs/2002.08484.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, "sigmoid")])
        >>> model.layers[0].set_weights([np.array([[4.0]]), np.array([0.0])])
        >>> x, y = np.array([[-1.0], [1.0], [1.1]]), np.array([0, 0, 1])
        >>> int(find_wrong_labels(model, x, y, verbose=0).order()[0])
        1
    """
    batch_size, head = check_positive("batch_size", batch_size), Head(model)
    states = check_checkpoints(checkpoints, head)
    scores, predicted = [], []
    for x, labels in batches(data, y, batch_size, verbose, "labels"):
        if labels is None:
            raise ValueError("Expected labels with the data, received none. Pass `y`.")
        features = head.reading(x)["value"]
        sizes = (features.astype("float64") ** 2).sum(axis=1) + 1
        scores.append(sum(
            state.rate * sizes * (head.pull(
                head.logits(features, state.kernel, state.bias), labels) ** 2).sum(axis=1)
            for state in states))
        logits, (_, kind) = head.logits(features), head.truth(labels)
        predicted.append(logits if kind == "squared" else probabilities(logits, kind))
    if not scores:
        raise ValueError("Expected examples with labels, received none. Pass data that give some.")
    return WrongLabels(np.concatenate(scores), np.concatenate(predicted))
