"""Reading a model as a linear one: coefficient maps, class means, agreement."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_explain.data.batches import batches, labeled_batches, to_numpy
from keras_explain.linear._input_gradient import InputGradient
from keras_explain.linear.mean_gradient import MeanGradient, mean_gradient
from keras_explain.progress import Verbose
from keras_explain.signatures import Array, Data

_PROBES = 4  # points at which a model that should be linear is asked for its slope
_SAME = 1e-4  # of the largest coefficient


def coefficient_maps(source: Any, *, shape: Sequence[int] | None = None) -> np.ndarray:
    """The coefficients of a linear classifier, one map per class in the shape of the input.

    A linear model is its own explanation: where a map is positive, more of the pixel speaks for
    the class. Works for a multinomial model (softmax), for one-vs-rest (sigmoid units, or
    scikit-learn's `OneVsRestClassifier`), and behind whatever else is linear: rescaling,
    standardization, PCA. Coefficients are those of the raw input.

    Args:
        source: a `keras.Model` that is linear up to its softmax or sigmoid, a Dense layer, or a
            fitted scikit-learn linear classifier or a pipeline that ends in one.
        shape: of one input, `(H, W)` for images; None takes the model's own, without a channel
            axis of 1, and leaves the features of the others flat.

    Returns:
        float32 `(classes, *shape)`. One class for a single unit and for scikit-learn's binary
        classifiers: the coefficients of the second class.

    Raises:
        TypeError: `source` is none of these.
        ValueError: the model is not linear (average its gradient with `mean_gradient`), or
            `shape` has another number of elements.

    Example:
        >>> model = keras.Sequential([
        ...     keras.Input((4, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
        >>> coefficient_maps(model).shape
        (3, 4, 6)
    """
    if isinstance(source, keras.Model):
        maps, own = _of_model(source), tuple(source.input_shape[1:])
        if shape is None:
            shape = own[:-1] if len(own) > 2 and own[-1] == 1 else own
    elif isinstance(source, keras.layers.Layer):
        maps = _of_layer(source)
    elif hasattr(source, "predict") and hasattr(source, "get_params"):
        maps = _of_sklearn(source)
    else:
        raise TypeError(
            "Expected a linear `keras.Model`, a Dense layer or a fitted scikit-learn classifier,"
            f" received {type(source).__name__}. `mean_gradient` takes any Keras model."
        )
    maps = maps.reshape(len(maps), -1).astype("float32")
    if shape is None:
        return maps
    if np.prod(shape) != maps.shape[1]:
        raise ValueError(
            f"Expected `shape` with {maps.shape[1]} elements, one per feature, received {shape}."
            " Give the shape of one example before it was flattened."
        )
    return maps.reshape(len(maps), *shape)


def mean_images(
    data: Data, y: Array | None = None, *, batch_size: int = 1024, verbose: Verbose = "auto"
) -> np.ndarray:
    """The average image of each class: what the coefficients are to be seen beside.

    Args:
        data: images, arrays with `y`, or anything that gives batches of both.
        y: true classes, indices or one-hot rows.
        batch_size: rows of a batch, where `data` is an array.
        verbose: whether progress is shown: "auto" on a terminal, 1 always, 0 never.

    Returns:
        float32 `(classes, *image shape)`; NaN for a class without images.

    Raises:
        ValueError: no labels, or labels that are no classes.

    Example:
        >>> mean_images(np.array([[1.0], [3.0], [5.0]]), [0, 0, 1]).tolist()
        [[2.0], [5.0]]
    """
    sums, counts = {}, {}
    for x, found in labeled_batches(data, y, batch_size, verbose, "images"):
        for label in np.unique(found):
            rows = x[found == label].astype("float64")
            sums[label] = sums.get(label, 0) + rows.sum(axis=0)
            counts[label] = counts.get(label, 0) + len(rows)
    blank = np.full(next(iter(sums.values())).shape, np.nan)
    means = [sums[c] / counts[c] if c in sums else blank for c in range(max(sums) + 1)]
    return np.stack(means).astype("float32")


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How well a linear model stands for a network.

    Attributes:
        rate: share of the examples on which both decide alike.
        count: number of examples.
        linear_scores, model_scores: `(N, classes)`, float32.
        threshold: above which a single score decides for the class.
    """

    rate: float
    count: int
    linear_scores: np.ndarray
    model_scores: np.ndarray
    threshold: float = 0.0

    @property
    def correlation(self) -> float:
        """Pearson's correlation of the two scores, over all examples and classes."""
        return float(np.corrcoef(self.linear_scores.ravel(), self.model_scores.ravel())[0, 1])

    @property
    def agrees(self) -> np.ndarray:
        """For each example whether both decide alike."""
        return self.decisions(self.linear_scores) == self.decisions(self.model_scores)

    def decisions(self, scores: np.ndarray) -> np.ndarray:
        """The class of each row: the best one, or whether a single score is above `threshold`."""
        if scores.shape[1] > 1:
            return scores.argmax(axis=1)
        return (scores[:, 0] > self.threshold).astype("int64")


def agreement(
    model: keras.Model, gradient: MeanGradient, data: Data, *, output: str | int | None = None,
    input: str | int | None = None, batch_size: int = 128, verbose: Verbose = "auto",
) -> Agreement:
    """Count how often the linear model made from a mean gradient decides as the model does.

    The linear model is `gradient.mean . x + gradient.intercept`; with one score its sign is the
    decision, with several the best class. High agreement says that the ranking of features
    speaks for the model; low, that it hides interactions.

    Reference: Hechtlinger 2016, "Interpretation of Prediction Models Using the Input Gradient",
    https://arxiv.org/abs/1611.07634.

    Args:
        model: the `keras.Model` that `gradient` is from.
        gradient: a `MeanGradient`, of every class or of a single unit.
        data: as for `mean_gradient`; better other data than it was averaged over.
        output, input: name or index, as given to `mean_gradient`.
        batch_size: rows of a batch, where `data` is arrays.
        verbose: whether progress is shown: "auto" on a terminal, 1 always, 0 never.

    Returns:
        An `Agreement`.

    Raises:
        TypeError: `gradient` is no `MeanGradient`.
        ValueError: `gradient` is of one class among several, or of other features.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "softmax")])
        >>> x = np.random.rand(10, 2)
        >>> agreement(model, mean_gradient(model, x), x).rate
        1.0
    """
    if not isinstance(gradient, MeanGradient):
        raise TypeError(
            f"Expected a `MeanGradient`, received {type(gradient).__name__}. Make one with"
            " `mean_gradient(model, data)`."
        )
    own_gradient = InputGradient(model, score=gradient.score, input=input, output=output)
    classes = own_gradient.classes()
    rows = len(np.atleast_1d(gradient.intercept))
    if rows != len(classes):
        raise ValueError(
            f"Expected a gradient of {len(classes)} classes, received one of {rows}. Average"
            " every class: `mean_gradient(model, data, target=None)`."
        )
    linear, own = [], []
    for x, _ in batches(data, None, batch_size, verbose):
        out = own_gradient(x, classes[0])
        points = out["point"].reshape(len(out["point"]), -1)
        if points.shape[1] * rows != gradient.mean.size:
            raise ValueError(
                f"Expected data with {gradient.mean.size // rows} features, as in the gradient,"
                f" received {points.shape[1]}. Pass data of that shape."
            )
        linear.append(gradient.scores(points).astype("float32"))
        own.append(out["scores"][:, classes])
    linear, own = np.concatenate(linear), np.concatenate(own)
    threshold = 0.5 if gradient.score == "probability" and (
        own_gradient.question.activation) else 0.0
    result = Agreement(0.0, len(own), linear, own, threshold)
    return dataclasses.replace(result, rate=float(result.agrees.mean()))


def _of_layer(layer):
    kernel = getattr(layer, "kernel", None)
    if kernel is None or len(kernel.shape) != 2:
        raise TypeError(
            "Expected a built layer with a kernel of shape (features, classes), such as Dense,"
            f" received {type(layer).__name__} {layer.name!r}."
        )
    return to_numpy(kernel).T


def _of_model(model):
    shape = model.input_shape
    if not isinstance(shape, tuple) or None in shape[1:]:
        raise ValueError(
            f"Expected a model with one input of fixed shape, received input shape {shape}. Build"
            " it once more with `keras.Input` of a full shape."
        )
    points = np.random.default_rng(0).random((_PROBES, *shape[1:]), "float32")
    gradient = mean_gradient(model, points, verbose=0)
    maps = gradient.mean if np.ndim(gradient.intercept) else gradient.mean[None]
    _check_linear(gradient.standard_error.max(), np.abs(maps).max(), model.name)
    return maps


def _of_sklearn(source):
    """`coef_`, or for pipelines and one-vs-rest the slope of `decision_function`."""
    if hasattr(source, "coef_"):
        coefficients = source.coef_
        dense = coefficients.toarray() if hasattr(coefficients, "toarray") else coefficients
        return np.atleast_2d(np.asarray(dense))
    if not hasattr(source, "decision_function") or not hasattr(source, "n_features_in_"):
        raise TypeError(
            "Expected a fitted scikit-learn classifier with `coef_` or `decision_function`,"
            f" received {type(source).__name__}. Call its `fit` first."
        )
    features = source.n_features_in_
    rng = np.random.default_rng(0)
    probes = np.concatenate([np.zeros((1, features)), np.eye(features), rng.random((1, features))])
    scores = source.decision_function(probes).reshape(len(probes), -1)
    maps = scores[1:-1] - scores[0]
    error = np.abs(scores[0] + probes[-1] @ maps - scores[-1]).max()
    _check_linear(error, np.abs(scores[-1] - scores[0]).max(), type(source).__name__)
    return maps.T


def _check_linear(error, scale, name):
    if not error <= _SAME * scale:
        raise ValueError(
            f"Expected a linear model, received {name!r}, whose slope differs between points."
            " Average it with `mean_gradient(model, data)`."
        )
