"""`influence`: which training examples does an answer come from?"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import tree

from keras_explain.checks import check_choice, check_positive, is_integer
from keras_explain.data.batches import batches
from keras_explain.data.preparing import as_arrays
from keras_explain.progress import Verbose
from keras_explain.signatures import Array, Data, Inputs
from keras_explain.training_examples._head import Head
from keras_explain.training_examples._leaving_out import leave_out
from keras_explain.training_examples.checkpoints import check_checkpoints

METHODS = ("tracin", "representer", "leave_one_out")
AT_REST = 0.05  # by which a last layer may miss what its representer points make of it


@dataclasses.dataclass(frozen=True, eq=False)
class Influence:
    """What each training example did for the score of a class.

    Args:
        scores: (N, examples), above zero for examples that raise the score of an answer.
        target: (N,), the class of each answer.
        logits: (N,), its score.
        method: how it was computed.
    """

    scores: Array
    target: Array
    logits: Array
    method: str

    def order(self) -> np.ndarray:
        """Indices of the training examples (N, examples), what raises the score most first."""
        return np.argsort(-self.scores, axis=1, kind="stable")


def influence(
    model: keras.Model, x: Inputs, data: Data, y: Array | None = None, *,
    target: int | Sequence[int] | None = None,
    method: Literal["tracin", "representer", "leave_one_out"] = "tracin",
    checkpoints: Sequence[Any] | None = None, penalty: float = 0.0, batch_size: int = 128,
    verbose: Verbose = "auto",
) -> Influence:
    """Measure what each training example did for an answer, by the weights of the last layer.

    Features count as given. "tracin" takes a step of the training at each checkpoint and asks how
    an example's own gradient moves the score; "representer" splits the score of a last layer that
    was trained to the end with an L2 penalty among the examples, exactly; "leave_one_out" is what
    the score loses when the last layer is trained without the example: exact for the squared error,
    one Newton step for a softmax or sigmoid.

    Args:
        model: a built `keras.Model` with one linear last layer.
        x: the examples in question, arrays as the model takes them.
        data: the training data: arrays, or what gives batches as `model.fit` takes them. It is
            gone through once; "leave_one_out" keeps the features of all.
        y: labels of arrays; None takes those that come with the data.
        target: the class whose logit is meant, one for all or one each; None: what is answered.
        method: "tracin", "representer" or "leave_one_out".
        checkpoints: for "tracin", states of the last layer, see `HeadCheckpointCallback`; None:
            the model as it is.
        penalty: for the others, of the kernel, as in `keras.regularizers.L2(penalty)` beside a
            mean loss (a sum over sigmoids). Leaving out gives the example's loss the weight zero
            and leaves the penalty as it is.
        batch_size: examples of a forward pass. It bounds the memory and changes no number.
        verbose: whether progress is shown: "auto" on a terminal, 1 always, 0 never.

    Returns:
        An `Influence`.

    Raises:
        ValueError: no labels, no linear last layer, or for "representer" no penalty, or a last
            layer that was not trained to the end with it.

    Reference: Pruthi et al. 2020, "Estimating Training Data Influence by Tracing Gradient Descent",
    https://arxiv.org/abs/2002.08484; Yeh et al. 2018, "Representer Point Selection for Explaining
    Deep Neural Networks", https://arxiv.org/abs/1811.09720; Koh and Liang 2017, "Understanding
    Black-box Predictions via Influence Functions", https://arxiv.org/abs/1703.04730.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.layers[0].set_weights([np.array([[2.0]])])  # of the points (1, 1) and (1, 3)
        >>> found = influence(model, [[1.0]], np.array([[1.0], [1.0]]), np.array([1.0, 3.0]),
        ...                   verbose=0)
        >>> found.scores.round(3).tolist()
        [[-4.0, 4.0]]
    """
    check_choice("method", method, METHODS)
    batch_size, head = check_positive("batch_size", batch_size), Head(model)
    if method == "representer" and not penalty > 0:
        raise ValueError('Expected `penalty` above 0 for method="representer", received'
                         f" {penalty!r}. Give the L2 penalty that the last layer was trained with,"
                         ' or use method="tracin".')
    queries = np.concatenate([
        head.reading(part)["value"] for part, _ in batches(as_arrays(x), None, batch_size)])
    logits = head.logits(queries)
    target = _check_target(target, logits)
    rows = np.arange(len(queries))
    source = _read(head, data, y, batch_size, verbose)
    if method == "tracin":
        scores = _trace(head, check_checkpoints(checkpoints, head), queries, target, source)
    elif method == "representer":
        scores = _split(head, queries, target, source, penalty)
    else:
        scores = leave_out(head, queries, target, source, penalty, batch_size)
    return Influence(scores, target, logits[rows, target], method)


def _read(head, data, y, batch_size, verbose):
    """Features (n, F) and labels of one batch after the other."""
    empty = True
    for x, labels in batches(data, y, batch_size, verbose, "influence"):
        if labels is None:
            raise ValueError("Expected labels with the data, received none. Pass `y`.")
        if len(tree.flatten(x)[0]):
            empty = False
            yield head.reading(x)["value"].astype("float64"), labels
    if empty:
        raise ValueError("Expected training examples, received none. Pass data that give some.")


def _check_target(target, logits):
    count, classes = logits.shape
    if target is None:
        return logits.argmax(axis=1)
    found = np.full(count, target) if is_integer(target) else np.asarray(target)
    if found.shape != (count,) or found.dtype.kind not in "iu" or (
            found.min() < 0 or found.max() >= classes):
        raise ValueError(
            f"Expected `target` to be a class from 0 to {classes - 1}, or one for each of {count}"
            f" examples, received {target!r}. Count units of the last layer from 0.")
    return found


def _trace(head, states, queries, target, source):
    found = []
    for features, labels in source:
        likeness = queries @ features.T + 1
        found.append(sum(
            -state.rate * likeness * head.pull(
                head.logits(features, state.kernel, state.bias), labels).T[target]
            for state in states))
    return np.concatenate(found, axis=1)


def _split(head, queries, target, source, penalty):
    found, kernel, count = [], 0.0, 0
    for features, labels in source:
        pull = head.pull(head.logits(features), labels)
        kernel, count = kernel - features.T @ pull, count + len(pull)
        found.append((queries @ features.T) * -pull.T[target])
    missed = np.linalg.norm(kernel / (2 * penalty * count) - head.kernel)
    if missed > AT_REST * np.linalg.norm(head.kernel):
        raise ValueError(
            "Expected a last layer that was trained to the end on these data with"
            f" `penalty={penalty}`, received one whose kernel is not what its examples make of it"
            f" (off by {missed / max(np.linalg.norm(head.kernel), 1e-12):.0%}). Train it to the"
            ' end, or use method="tracin".')
    return np.concatenate(found, axis=1) / (2 * penalty * count)
