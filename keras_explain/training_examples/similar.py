"""`find_similar`: which training examples look to the model like this one?"""

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_explain.checks import check_positive
from keras_explain.data.batches import batches
from keras_explain.data.preparing import as_arrays
from keras_explain.progress import Verbose
from keras_explain.signatures import Array, Data, Inputs
from keras_explain.training_examples._head import read_features


@dataclasses.dataclass(frozen=True, eq=False)
class SimilarExamples:
    """The examples of a data set that a model sees most alike to given ones, best first.

    Args:
        indices: (N, alike), the place of each in the data as they came.
        similarities: (N, alike), cosines between features, from -1 to 1.
        examples: their inputs, (N, alike, ...), in the model's structure.
        y: their labels as they came with the data, (N, alike, ...), or None.
    """

    indices: Array
    similarities: Array
    examples: Any
    y: Array | None


def find_similar(
    model: keras.Model, x: Inputs, data: Data, y: Array | None = None, *, layer: Any = None,
    k: int = 5, batch_size: int = 128, verbose: Verbose = "auto",
) -> SimilarExamples:
    """Find the training examples that the model sees most alike to each example of `x`.

    They show what the model takes an example for. Alike are examples whose features, what the last
    layer with weights reads, point in the same direction. That they are alike does not mean that
    the answer comes from them: see `influence`.

    Args:
        model: a built `keras.Model`.
        x: the examples in question, arrays as the model takes them.
        data: the training data: arrays, or what gives batches as `model.fit` takes them. It is
            gone through once, and of each query only the best `k` are kept.
        y: labels of arrays; None takes those that come with the data.
        layer: the layer whose answer is compared; None: what the last layer with weights reads.
        k: how many examples are listed; fewer where there are fewer.
        batch_size: examples of a forward pass. It bounds the memory and changes no number.
        verbose: whether progress is shown: "auto" on a terminal, 1 always, 0 never.

    Returns:
        A `SimilarExamples`. An example whose features are all zero is similar to none: 0.

    Raises:
        ValueError: no data, or scores that come from several layers and no `layer`.

    Reference: Papernot and McDaniel 2018, "Deep k-Nearest Neighbors: Towards Confident,
    Interpretable and Robust Deep Learning", https://arxiv.org/abs/1803.04765.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        >>> data = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
        >>> found = find_similar(model, np.array([[0.0, 5.0]]), data, k=2, verbose=0)
        >>> found.indices.tolist(), found.similarities.round(3).tolist()
        ([[1, 2]], [[1.0, 0.707]])
    """
    k, batch_size = check_positive("k", k), check_positive("batch_size", batch_size)
    reading = read_features(model, layer)
    queries = np.concatenate([
        _read_directions(reading, part) for part, _ in batches(as_arrays(x), None, batch_size)])
    best, start = None, 0
    for part, labels in batches(data, y, batch_size, verbose, "similar examples"):
        count = len(tree.flatten(part)[0])
        if count:
            likeness = queries @ _read_directions(reading, part).T
            best = _merge(best, likeness, start, part, labels, k)
        start += count
    if best is None:
        raise ValueError("Expected examples to compare with, received none. Pass data that give"
                         " some.")
    return SimilarExamples(*best)


def _read_directions(reading, x):
    """Features as rows of length 1, or 0."""
    rows = reading(x)["value"]
    rows = rows.reshape(len(rows), -1).astype("float64")
    length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def _merge(best, likeness, start, part, labels, k):
    """The best `k` of those so far and of one batch: the parts of a `SimilarExamples`."""
    count = likeness.shape[1]
    here = np.argsort(-likeness, axis=1, kind="stable")[:, :k]
    new = (here + start, np.take_along_axis(likeness, here, axis=1),
           tree.map_structure(lambda a: a[here], part), None if labels is None else labels[here])
    if best is None:
        return new
    found = np.concatenate([best[1], new[1]], axis=1)
    order = np.argsort(-found, axis=1, kind="stable")[:, : min(k, start + count)]
    rows = np.arange(len(order))[:, None]
    return tuple(None if a is None else tree.map_structure(
        lambda p, q: np.concatenate([p, q], axis=1)[rows, order], a, b)
        for a, b in zip(best, new, strict=True))
