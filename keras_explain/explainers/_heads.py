"""Does a model average over its feature map? Told by what its head computes.

Behind a mean, the gradient is the same at each place of the map, so that Grad-CAM and HiResCAM
are equal. Behind a Flatten or attention a channel counts differently at each place. Grad-CAM,
which averages the gradient over the map, loses that.
"""

import keras
import numpy as np
from keras import ops

from keras_explain.graph import targets
from keras_explain.graph.probing import random_numbers, tolerance
from keras_explain.graph.steps import has_weights

ALIVE = 1e-5  # what a head must react with, as a share of its scores


def averages_map(question, value, grid=None):
    """Whether the explained score sees nothing of a feature map but its mean over the map.

    Random features are replaced by their mean. A head that reacts to nothing, as one whose last
    kernel is zero before training, is tried with random weights.

    Args:
        question: a `Question`.
        value: the feature map's Value in its program.
        grid: the `Grid` of a map of tokens.

    Returns:
        True where that cannot be found out, too.
    """
    is_function = targets.is_function(question.target)
    program = question.program if is_function else question.scored
    head = program.split([value])[1]
    for mapping in [], random_weights(head):
        reacts, differs = _react(question, head, value, grid, mapping)
        if reacts:
            return not differs
    return True


def _react(question, head, value, grid, mapping):
    """Whether a head reacts to other features, and to the mean in place of its features."""
    features = ops.abs(random_numbers(value.spec, free=8))
    channel = question.program.channel_axis(value) if grid is None else -1
    levels = _random_levels(features.shape, channel % len(features.shape))
    features = features * ops.convert_to_tensor(levels, features.dtype)
    sides = [random_numbers(v.spec, free=8) for v in head.inputs[1:]]

    def score(x):
        answer = head([x, *sides])
        if targets.is_function(question.target):
            answer = question.target(answer[1])
        return np.asarray(ops.convert_to_numpy(ops.cast(answer, "float32")), "float64")

    try:
        with keras.StatelessScope(state_mapping=mapping):
            own = score(features)
            other = max(np.abs(score(x) - own).max()
                        for x in (ops.flip(features, axis=0), 2 * features))
            mean = np.abs(score(_average(features, question, value, grid)) - own).max()
    except Exception:  # a head may refuse random features, or a size that is free, with any error
        return False, False
    near = max(tolerance(value), 1e-3)
    return other > ALIVE * np.abs(own).max(), mean > near * other


def _average(features, question, value, grid):
    """The features, each the mean over the map."""
    if grid is not None:
        cells = grid.cut(features)
        mean = ops.broadcast_to(ops.mean(cells, axis=1, keepdims=True), cells.shape)
        before, after = features[:, : grid.first], features[:, grid.first + grid.count :]
        return ops.concatenate([before, mean, after], axis=1)
    channel = question.program.channel_axis(value)
    space = tuple(a for a in range(1, len(features.shape)) if a != channel)
    return ops.broadcast_to(ops.mean(features, axis=space, keepdims=True), features.shape)


def _random_levels(shape, channel):
    """A number for each example and channel: the means of large maps of noise are all alike."""
    shape = [n if axis in (0, channel) else 1 for axis, n in enumerate(shape)]
    return np.random.default_rng(2).uniform(0.1, 1, shape)


def random_weights(program):
    """Pairs of each weight in a program and random numbers for it."""
    return [(w, _random_weight(w)) for step in program.steps if has_weights(step.fn)
            for w in step.fn.weights if "float" in w.dtype]


def _random_weight(weight):
    rng = np.random.default_rng(1)
    numbers = rng.uniform(0.1, 1.0, weight.shape)
    if len(weight.shape) > 1:  # kernels; vectors may be variances
        numbers *= rng.choice([-1.0, 1.0], weight.shape)
    return ops.convert_to_tensor(numbers, weight.dtype)
