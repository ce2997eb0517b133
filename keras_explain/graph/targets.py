"""Which score is explained: a class, a class per image, or a function of the outputs."""

import keras
import numpy as np
from keras import ops, tree

from keras_explain.targets._target import Target

TOP_CLASS = -1
INPUT = "input"
HUGE = 1e9  # beyond any logit
NEAREST = 1e-6  # of a probability to 0 and 1, whose log-odds are taken


def class_count(spec, activation, axis=-1):
    """Number of classes that `target` chooses from; a 1-unit sigmoid has two.

    Args:
        spec: symbolic output of the model, shape (N, ..., units).
        activation: "softmax", "sigmoid" or None, what ends the model.
        axis: of the classes.
    """
    units = spec.shape[axis] if len(spec.shape) > 1 else 1
    return 2 if units == 1 and activation == "sigmoid" else units


def check(target, classes):
    """Validate `target` against the number of classes; returns it in a serializable form.

    Raises:
        TypeError: not None, an int, a sequence of ints, "input" or a callable.
        ValueError: a class out of range.
    """
    if target is None or callable(target) or isinstance(target, str) and target == INPUT:
        return target
    indices = np.asarray(target)
    if isinstance(target, str) or indices.size and indices.dtype.kind not in "iu":
        raise TypeError(
            "Expected `target` to be None (each image's own top class), a class index, a"
            ' sequence with one class per image, "input" or a callable from the outputs to a'
            f" score per image, received {target!r}. Pass the index of the class, counted from 0."
        )
    if indices.ndim > 1:
        raise ValueError(
            "Expected `target` to be one class or one class per image, received an array of"
            f" shape {indices.shape}. For one-hot rows, pass their argmax."
        )
    lowest = TOP_CLASS if indices.ndim else 0
    if indices.size == 0 or indices.min() < lowest or indices.max() >= classes:
        raise ValueError(
            f"Expected `target` from 0 to {classes - 1}, because the explained output has"
            f" {classes} classes, received {target!r}. Count classes from 0."
        )
    return tuple(indices.tolist()) if indices.ndim else int(indices)


def is_function(target):
    """Whether `target` is a function of the model's answers."""
    return callable(target) and not isinstance(target, Target)


def asks_one_output(target):
    """Whether a target is asked of one output, which a user of a model with several names."""
    return target.asks_one_output if isinstance(target, Target) else not callable(target)


def check_request(request, count, classes):
    """Validate the classes that arrive with a batch, for `target="input"`.

    Raises:
        ValueError: not one class per image, or a class out of range.
    """
    request = np.asarray(request)
    if request.shape != (count,) and request.shape != (count, 1):
        raise ValueError(
            f"Expected `target` of shape ({count},), one class per image, received shape"
            f" {request.shape}. Pass -1 for an image's top class."
        )
    wrong = request[(request < TOP_CLASS) | (request >= classes)]
    if wrong.size:
        raise ValueError(
            f"Expected every `target` from 0 to {classes - 1}, or -1 for the top class, because"
            f" the explained output has {classes} classes, received {wrong.tolist()}. Choose"
            " another `output` if they are its classes."
        )


def check_count(target, count):
    """Validate that a sequence of classes has one for each image of a batch of `count`.

    Raises:
        ValueError: it has not.
    """
    if len(target) != count:
        raise ValueError(
            f"Expected batches of {len(target)} images, one per class in `target`, received a"
            f" batch of {count}. Pass batch_size={len(target)} to `predict`, or build with"
            ' target="input" and pass the classes with each batch.'
        )


def class_scores(logits, activation, score="logit", axis=-1):
    """One column per class, float32 of shape (N, classes).

    Outputs with positions (segmentation maps, token scores) are averaged over them.

    Args: those of `scores_at`.
    """
    scores = scores_at(logits, activation, score, axis)
    if len(scores.shape) > 2:
        scores = ops.mean(scores, axis=tuple(range(1, len(scores.shape) - 1)))
    return scores


def scores_at(logits, activation, score="logit", axis=-1):
    """The scores of the classes at each position, float32 of shape (N, ..., classes).

    A 1-unit sigmoid gets two columns: the negated logit of the unit and the logit, or 1 - p
    and p.

    Args:
        logits: what the activation takes, shape (N, ..., units) or (N,); the answer itself
            where there is no activation.
        activation: "softmax", "sigmoid" or None, what ends the model.
        score: "logit", "log_odds" or "probability". Without an activation, several units are
            taken for the logits of a softmax by "log_odds", and come back as they are else.
        axis: of the classes in `logits`.
    """
    scores = ops.cast(logits, "float32")
    if len(scores.shape) == 1:
        scores = ops.expand_dims(scores, -1)
    if len(scores.shape) > 2:
        scores = ops.moveaxis(scores, axis, -1)
    units = scores.shape[-1]
    if units == 1 and activation == "sigmoid":
        scores = ops.concatenate([-scores, scores], axis=-1)
    if score == "probability" and activation:
        scores = ops.softmax(scores) if activation == "softmax" else ops.sigmoid(scores)
    elif score == "log_odds" and activation != "sigmoid" and units > 1:
        scores = log_odds(scores)
    return scores


def two_columns(probabilities):
    """The probabilities of both classes, (N, 2), from those of a single unit, (N, 1)."""
    return np.concatenate([1 - probabilities, probabilities], axis=1)


def log_odds_of(probabilities):
    """log(p / (1 - p)) of numbers within 0..1, which are kept NEAREST away from both."""
    p = ops.clip(probabilities, NEAREST, 1.0 - NEAREST)
    return ops.log(p) - ops.log(1.0 - p)


def log_odds(logits):
    """log(p / (1 - p)) of each class of a softmax over the last axis, from its logits.

    That is the logit less the logarithm of the summed exponentials of the other logits. It is
    as exact where p is rounded to 1 or 0 as elsewhere, and the same for logits that differ by
    a constant.
    """
    best = _first_largest(logits)
    highest = ops.sum(logits * best, axis=-1, keepdims=True)
    second = ops.max(logits - best * HUGE, axis=-1, keepdims=True)
    below = ops.exp(ops.where(best > 0, 0.0, logits - second)) * (1.0 - best)
    against_best = second + ops.log(ops.sum(below, axis=-1, keepdims=True))
    parts = ops.exp(logits - highest) * (1.0 - best)
    others = ops.sum(parts, axis=-1, keepdims=True) - parts  # besides the best
    return ops.where(best > 0, logits - against_best, logits - highest - ops.log(
        1.0 + ops.maximum(others, 0.0)))  # no log1p: ONNX has none


def _first_largest(scores):
    """The first of the largest scores of the last axis as one-hot float32."""
    best = ops.cast(ops.equal(scores, ops.max(scores, axis=-1, keepdims=True)), "float32")
    return best * ops.cast(ops.equal(ops.cumsum(best, axis=-1), 1.0), "float32")


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
    top = _first_largest(scores)
    if target is None:
        return top
    target = ops.expand_dims(target, -1)
    chosen = ops.equal(target, ops.arange(scores.shape[-1], dtype=target.dtype))
    return ops.where(ops.equal(target, TOP_CLASS), top, ops.cast(chosen, "float32"))


def add_target(inputs, target):
    """Model inputs with the class of each example: what `target="input"` takes.

    Args:
        inputs: a tensor or array, or a list or dict of them, as the user's model takes them.
        target: one class per example, symbolic or numbers.
    """
    if isinstance(inputs, dict):
        return {**inputs, "target": target}
    return [*tree.flatten(inputs), target]


def split_target(inputs):
    """The model inputs and the classes that `add_target` put together."""
    if isinstance(inputs, dict):
        return {k: v for k, v in inputs.items() if k != "target"}, inputs["target"]
    *inputs, target = inputs
    return (inputs if len(inputs) > 1 else inputs[0]), target


def find_used(target, outputs):
    """The outputs that a callable target reads; all of them where that cannot be told."""
    flat = tree.flatten(outputs)
    given = [keras.Input(batch_shape=v.spec.shape, dtype=v.spec.dtype) for v in flat]
    try:
        score = target(tree.pack_sequence_as(outputs, given))
        keras.Model(given, score)
    except LookupError as error:
        names = f"a dict of {sorted(outputs)}" if isinstance(outputs, dict) else (
            f"{len(flat)} of them" if len(flat) > 1 else f"of shape {flat[0].spec.shape}")
        raise ValueError(
            f"Expected a callable `target` that takes all outputs of the model ({names}), received"
            f" one that fails with {type(error).__name__}: {error}. Choose the output in it, as"
            " outputs['name']; `output=` chooses none for a callable.") from error
    except Exception:  # it needs numbers, or does what only its backend can
        return outputs
    used = [v for k, v in enumerate(flat) if not _is_made_without(given, k, score)]
    return used or outputs


def _is_made_without(given, k, score):
    try:
        keras.Model([*given[:k], *given[k + 1 :]], score)
    except ValueError:  # not connected
        return False
    return True
