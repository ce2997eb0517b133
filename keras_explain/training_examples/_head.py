"""The last layer with weights: its features, its weights, and how a loss pulls at it."""

import numpy as np
from keras import ops

from keras_explain import backend
from keras_explain.data.batches import class_indices
from keras_explain.engine.reading import Reading
from keras_explain.graph.question import Question
from keras_explain.graph.steps import has_weights

CLOSE = 1e-3  # by which a linear head may miss its own sum


def read_features(model, layer=None):
    """A `Reading` of the features that the last layer with weights reads, or of a `layer`."""
    question = Question(model)
    if layer is not None:
        return Reading(question, question.scored.find(layer).outputs[0])
    return Reading(question, find_features(question))


def find_features(question):
    """The Value that the last layer with weights reads.

    Raises:
        ValueError: the scores come from several layers, or from none with weights.
    """
    program = question.scored
    value = program.outputs
    while (step := program.producer(value)) is not None:
        reads = [v for v in dict.fromkeys(step.reads) if program.is_per_example(v)]
        if len(reads) != 1:
            break
        (value,) = reads
        if has_weights(step.fn):
            return value
    raise ValueError(
        f"Expected a model whose scores come from one last layer with weights, received"
        f" {question.model.name!r}. Name the layer whose answers are the features with `layer=`.")


class Head:
    """The last layer of a model: logits = features @ kernel + bias.

    Attributes:
        kernel, bias: of shape (F, classes) and (classes,).
        activation: "softmax", "sigmoid" or None, what follows.

    Raises:
        ValueError: what follows the features is not linear, or the features are no rows.
    """

    def __init__(self, model):
        question = Question(model)
        value = find_features(question)
        _, rest = question.scored.split([value])
        self.reading, self.activation = Reading(question, value), question.activation
        size = value.spec.shape[-1]
        if len(value.spec.shape) != 2 or size is None or rest.inputs != [value]:
            raise ValueError(
                f"Expected a last layer that reads rows of features, received one that reads"
                f" {value.spec.shape}. Use `find_similar`, which takes any, or put pooling before"
                " the last layer.")

        self._rest, self._size = rest, size
        self.kernel, self.bias = self.read_weights()
        points = np.random.default_rng(0).normal(size=(4, size))
        found, wanted = self._ask(points), self.logits(points)
        if np.abs(found - wanted).max() > CLOSE * max(np.abs(wanted).max(), 1e-6):
            raise ValueError(
                f"Expected a last layer whose logits are linear in its features, received one of"
                f" {model.name!r} that is not. Use `find_similar`, which takes any.")

    def read_weights(self):
        """The kernel (F, classes) and the bias (classes,) as they are now."""
        units = self._ask(np.concatenate([np.zeros((1, self._size)), np.eye(self._size)]))
        return units[1:] - units[0], units[0]

    def _ask(self, points):
        with backend.no_gradient():
            logits = self._rest([ops.convert_to_tensor(points.astype("float32"))])
        return ops.convert_to_numpy(logits).astype("float64")

    def logits(self, features, kernel=None, bias=None):
        """Logits (N, classes) of features (N, F), of these weights or of earlier ones."""
        if kernel is None:
            kernel, bias = self.kernel, self.bias
        return features.astype("float64") @ kernel + bias

    def pull(self, logits, y):
        """The derivative of each example's loss by its logits, (N, classes).

        The loss is the cross-entropy of the model's softmax or sigmoid. Where none ends the model
        it is the softmax cross-entropy for classes, and the mean squared error for numbers.

        Raises:
            ValueError: labels that are no classes of this model.
        """
        truth, kind = self.truth(y)
        if kind == "squared":
            return 2 * (logits - truth) / logits.shape[1]
        return probabilities(logits, kind) - truth

    def truth(self, y):
        """What the answers should be (N, classes), and "softmax", "sigmoid" or "squared"."""
        count, y = self.bias.size, np.asarray(y)
        rows = y.reshape(len(y), -1)
        if self.activation == "sigmoid" or count == 1:
            if rows.shape[1] != count:
                rows = np.eye(count)[_check_classes(class_indices(y), count)]
            if self.activation == "sigmoid" and not np.isin(rows, (0, 1)).all():
                raise ValueError(
                    f"Expected labels of 0 and 1, as the model ends with a sigmoid, received"
                    f" {rows.reshape(-1)[:3].tolist()}. Give the labels it was trained on.")
            return rows.astype("float64"), "sigmoid" if self.activation else "squared"
        if self.activation is None and rows.shape[1] == count and not _are_one_hot(rows):
            return rows.astype("float64"), "squared"
        return np.eye(count)[_check_classes(class_indices(y), count)], "softmax"


def probabilities(logits, kind):
    """Softmax or sigmoid of logits (N, classes)."""
    if kind == "sigmoid":
        return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _are_one_hot(rows):
    return bool(np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all())


def _check_classes(y, count):
    if y.dtype.kind not in "iu" or len(y) and not 0 <= y.min() <= y.max() < count:
        raise ValueError(
            f"Expected `y` to be class indices from 0 to {count - 1} or one-hot rows, received"
            f" {y[:3].tolist()} and others. Number the classes as the model does.")
    return y
