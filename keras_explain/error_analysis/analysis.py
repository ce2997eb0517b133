"""Where a classifier is wrong, what it confuses, and why."""

import dataclasses
import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_explain.data.batches import class_indices, labeled_batches, to_numpy
from keras_explain.data.predicting import predict
from keras_explain.data.preparing import answer
from keras_explain.data.state import look_at_state
from keras_explain.explainers._choice import choose_for_tokens, takes_tokens
from keras_explain.explainers._explained_model import BlankHeatmapWarning
from keras_explain.explainers.saliency import saliency
from keras_explain.graph import targets
from keras_explain.progress import Verbose
from keras_explain.signatures import Array, Data, Inputs


@dataclasses.dataclass(frozen=True)
class ConfusedPair:
    """Two classes, and how often each was taken for the other.

    `rate` is the share of the examples of both classes that went to the other.
    """

    first: int
    second: int
    first_as_second: int
    second_as_first: int
    rate: float

    @property
    def count(self) -> int:
        """Confusions in both directions."""
        return self.first_as_second + self.second_as_first


@dataclasses.dataclass(frozen=True)
class ErrorAnalysis:
    """A classifier's answers beside the truth.

    Attributes:
        y: true classes `(N,)`.
        predicted: the best class `(N,)`.
        probabilities: `(N, classes)`.
        class_names: one for each class.
    """

    y: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
    class_names: list[str]

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float((self.y == self.predicted).mean())

    @property
    def confusion(self) -> np.ndarray:
        """Counts `(classes, classes)`: true classes in rows, predicted in columns."""
        from sklearn.metrics import confusion_matrix

        return confusion_matrix(self.y, self.predicted, labels=range(len(self.class_names)))

    @property
    def misclassified(self) -> np.ndarray:
        """Indices of the wrong answers, the surest first."""
        wrong = np.flatnonzero(self.y != self.predicted)
        sure = self.probabilities[wrong, self.predicted[wrong]]
        return wrong[np.argsort(-sure, kind="stable")]

    def report(self, digits: int = 3) -> str:
        """Precision, recall and F1 of each class, as scikit-learn's table."""
        from sklearn.metrics import classification_report

        return classification_report(
            self.y, self.predicted, labels=range(len(self.class_names)),
            target_names=self.class_names, digits=digits, zero_division=0,
        )

    def most_confused(self, k: int = 5) -> list[ConfusedPair]:
        """The `k` pairs of classes that are most often taken for each other, worst first."""
        matrix = self.confusion
        sizes = matrix.sum(axis=1)
        pairs = [
            ConfusedPair(a, b, int(matrix[a, b]), int(matrix[b, a]),
                         float((matrix[a, b] + matrix[b, a]) / (sizes[a] + sizes[b])))
            for a in range(len(matrix)) for b in range(a + 1, len(matrix))
            if matrix[a, b] + matrix[b, a]
        ]
        return sorted(pairs, key=lambda pair: -pair.count)[:k]


def analyze_errors(
    model: keras.Model | Callable[..., Any], data: Data, y: Array | None = None, *,
    output: str | int | None = None, class_names: Sequence[str] | None = None,
    batch_size: int = 128, verbose: Verbose = "auto",
) -> ErrorAnalysis:
    """Let a classifier answer, and compare with the truth.

    Args:
        model: a `keras.Model`, or a function from a batch to scores `(N, classes)`, such as a
            scikit-learn classifier's `predict_proba`. Probabilities, or logits, which go through
            a softmax; a single unit has two classes.
        data: arrays with `y`, or anything that gives batches of both.
        y: true classes, indices or one-hot rows.
        output: name or index of the output, for models with several.
        class_names: one for each class.
        batch_size: rows of a batch, where `data` is arrays.
        verbose: whether progress is shown: "auto" on a terminal, 1 always, 0 never.

    Returns:
        An `ErrorAnalysis`.

    Raises:
        TypeError: `model` cannot be called.
        ValueError: no labels, labels or class names that do not fit the scores, or a model that
            keeps state from call to call.

    Example:
        >>> def score(x):
        ...     return np.stack([1 - x, x], axis=1)
        >>> analysis = analyze_errors(score, np.array([0.1, 0.8, 0.7]), [0, 1, 0])
        >>> analysis.confusion.tolist(), analysis.misclassified.tolist()
        ([[1, 1], [0, 1]], [2])
    """
    if not callable(model):
        raise TypeError(
            "Expected a `keras.Model` or a function from a batch to scores, received"
            f" {type(model).__name__}. Of a scikit-learn classifier pass `predict_proba`."
        )
    predict = functools.partial(answer, model) if isinstance(model, keras.Model) else model
    truth, scores = [], []
    for x, classes in labeled_batches(data, y, batch_size, verbose):
        if not truth:
            look_at_state(model, x)
        truth.append(classes)
        scores.append(_choose_scores(predict(x), output, model))
    truth, probabilities = np.concatenate(truth), _probabilities(np.concatenate(scores))
    classes = probabilities.shape[1]
    if truth.min() < 0 or truth.max() >= classes:
        raise ValueError(
            f"Expected `y` from 0 to {classes - 1}, because the model has {classes} classes,"
            f" received classes from {truth.min()} to {truth.max()}. Count classes from 0."
        )
    names = [str(i) for i in range(classes)] if class_names is None else list(map(str, class_names))
    if len(names) != classes:
        raise ValueError(f"Expected {classes} `class_names`, received {len(names)}. Name every"
                         " class that the model scores, in its order.")
    return ErrorAnalysis(truth, probabilities.argmax(axis=1), probabilities, names)


@dataclasses.dataclass(frozen=True)
class ErrorHeatmaps:
    """Why an answer is wrong: heatmaps `(N, H, W)` for the true and for the predicted class.

    `difference` is the predicted class's minus the true one's: positive where the image speaks
    for the mistake.
    """

    true: np.ndarray
    predicted: np.ndarray

    @property
    def difference(self) -> np.ndarray:
        """What speaks for the mistake (positive) and against it."""
        return self.predicted - self.true


def explain_errors(
    model: keras.Model, x: Inputs, y: Array, predicted: Array, *,
    builder: Callable[..., Any] | None = None, batch_size: int = 32, verbose: Verbose = "auto",
) -> ErrorHeatmaps:
    """Explain both classes of misclassified images: the true one and the predicted one.

    Args:
        model: a built `keras.Model`.
        x: images as the model takes them.
        y: their true classes.
        predicted: the classes that the model took them for.
        builder: a function from a model and `target=` to an explained model, such as
            `keras_explain.grad_cam`; None is signed saliency, of tokens `local_linear` (or
            `integrated_gradients`, where it finds no gates).
        batch_size: images explained at a time.
        verbose: whether progress is shown: "auto" on a terminal, 1 always, 0 never.

    Returns:
        `ErrorHeatmaps`.

    Raises:
        ValueError: not as many classes as images.

    Example:
        >>> model = keras.Sequential([
        ...     keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
        >>> explain_errors(model, np.ones((2, 4, 4, 1)), [0, 1], [2, 2]).difference.shape
        (2, 4, 4)
    """
    return class_heatmaps(request_model(model, builder), x, y, predicted, batch_size, verbose)


def request_model(model, builder=None):
    """The explained model to which each image brings its class, by `builder` or the default."""
    if builder is not None:
        return builder(model, target="input")
    if takes_tokens(model):
        return choose_for_tokens(model, target="input")
    return saliency(model, target="input", signed=True)


def class_heatmaps(explained, x, y, predicted, batch_size=32, verbose=0):
    """`explain_errors` with an explained model that is built already."""
    x = tree.map_structure(to_numpy, x)
    count = len(tree.flatten(x)[0])
    maps = []
    for name, classes in (("y", y), ("predicted", predicted)):
        classes = class_indices(classes)
        if len(classes) != count or classes.dtype.kind not in "iu":
            raise ValueError(
                f"Expected `{name}` to be {count} classes, one per image, received"
                f" {len(classes)} of dtype {classes.dtype}. Pass class indices or one-hot rows."
            )
        maps.append(_heatmaps(explained, x, classes.astype("int32"), batch_size, verbose))
    return ErrorHeatmaps(*maps)


def _heatmaps(explained, x, classes, batch_size, verbose):
    with warnings.catch_warnings():  # a class without evidence is an answer here
        warnings.simplefilter("ignore", BlankHeatmapWarning)
        return predict(explained, targets.add_target(x, classes), batch_size, verbose,
                       "heatmaps")["heatmap"]


def _choose_scores(scores, output, model):
    if tree.is_nested(scores) and not hasattr(scores, "shape"):
        if output is None:
            raise ValueError(
                "Expected `output`, because the model has several, received none. Give its"
                " name or its index."
            )
        if isinstance(output, str) and not isinstance(scores, dict):
            output = model.output_names.index(output)
        elif isinstance(output, int) and isinstance(scores, dict):
            output = list(scores)[output]
        scores = scores[output]
    scores = to_numpy(scores).astype("float32")
    if scores.ndim == 1:
        scores = scores[:, None]
    if scores.ndim != 2:
        raise ValueError(
            f"Expected scores of shape (N, classes), received {scores.shape}. Error analysis is"
            " for classifiers."
        )
    return scores


def _probabilities(scores):
    """Probabilities from probabilities or logits; a single unit becomes two classes."""
    logits = scores.min() < 0 or scores.max() > 1
    if scores.shape[1] == 1:
        second = 1 / (1 + np.exp(-scores)) if logits else scores
        return targets.two_columns(second)
    if not logits:
        return scores
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
