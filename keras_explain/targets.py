"""Which score is explained: a class, a class per image, or a function of the outputs."""

import numpy as np
from keras import ops

TOP_CLASS = -1
INPUT = "input"


def class_count(spec, activation):
    """Number of classes that `target` chooses from; a 1-unit sigmoid has two.

    Args:
        spec: symbolic output of the model, shape (N, ..., units).
        activation: "softmax", "sigmoid" or None, what ends the model.
    """
    units = spec.shape[-1] if len(spec.shape) > 1 else 1
    return 2 if units == 1 and activation == "sigmoid" else units


def check(target, classes):
    """Validate `target` against the number of classes; returns it in a serialisable form.

    Raises:
        TypeError: not None, an int, a sequence of ints, "input" or a callable.
        ValueError: a class out of range.
    """
    if target is None or callable(target) or target == INPUT:
        return target
    if isinstance(target, str) or np.asarray(target).dtype.kind not in "iu":
        raise TypeError(
            "Expected `target` to be None (each image's own top class), a class index, a"
            ' sequence with one class per image, "input" or a callable from the outputs to a'
            f" score per image, received {target!r}."
        )
    indices = np.asarray(target)
    if indices.ndim > 1:
        raise ValueError(
            "Expected `target` to be one class or one class per image, received an array of"
            f" shape {indices.shape}. For one-hot rows, pass their argmax."
        )
    lowest = TOP_CLASS if indices.ndim else 0
    if indices.size == 0 or indices.min() < lowest or indices.max() >= classes:
        raise ValueError(
            f"Expected `target` from 0 to {classes - 1}, because the explained output has"
            f" {classes} classes, received {target!r}."
        )
    return tuple(indices.tolist()) if indices.ndim else int(indices)


def class_scores(raw, activation, probability=False):
    """One column per class, float32 of shape (N, classes).

    A 1-unit sigmoid gets two columns: the negated logit of the unit and the logit, or 1 - p
    and p. Outputs with positions (segmentation maps, token scores) are averaged over them.

    Args:
        raw: logits or probabilities, shape (N, ..., units) or (N,).
        activation: "softmax", "sigmoid" or None, what ends the model.
        probability: whether `raw` holds probabilities.
    """
    scores = ops.cast(raw, "float32")
    if len(scores.shape) == 1:
        scores = ops.expand_dims(scores, -1)
    if len(scores.shape) > 2:
        scores = ops.mean(scores, axis=tuple(range(1, len(scores.shape) - 1)))
    if scores.shape[-1] == 1 and activation == "sigmoid":
        return ops.concatenate([1.0 - scores if probability else -scores, scores], axis=-1)
    return scores


def one_hot(scores, target=None):
    """The chosen class of each row as float32 of shape (N, classes).

    Written without `argmax`, which converters to ONNX and OpenVINO do not know. The first of
    equal scores is the top class.

    Args:
        scores: shape (N, classes).
        target: None, a class, or an integer tensor of shape (N,) in which -1 stands for the
            row's top class.
    """
    if isinstance(target, int):
        target = ops.full_like(scores[:, 0], target, dtype="int32")
    best = ops.cast(ops.equal(scores, ops.max(scores, axis=-1, keepdims=True)), "float32")
    top = best * ops.cast(ops.equal(ops.cumsum(best, axis=-1), 1.0), "float32")
    if target is None:
        return top
    target = ops.expand_dims(target, -1)
    chosen = ops.equal(target, ops.arange(scores.shape[-1], dtype=target.dtype))
    return ops.where(ops.equal(target, TOP_CLASS), top, ops.cast(chosen, "float32"))
