"""Eigen-CAM."""

from typing import Unpack

import keras
from keras import ops

from keras_explain import backend
from keras_explain.explainers._cam import FeatureMap
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import FeatureMapOptions
from keras_explain.graph import targets
from keras_explain.signatures import spell_out

STEPS = 256  # a second component within 1 % of the first is then suppressed 13 times


@keras.saving.register_keras_serializable("keras_explain")
class EigenCAM(FeatureMap):
    """The layer behind `eigen_cam`."""

    def map_at(self, value, values, request):
        program = self.question.program.with_outputs((value, self.question.program.outputs[1]))
        features, predictions = program(values)
        features = self.channels_last(features, value)
        cells = ops.shape(features)[1:-1]
        rows = ops.reshape(features, (-1, cells_count(cells), features.shape[-1]))
        component = first_component(rows - ops.mean(rows, axis=1, keepdims=True))
        mean = ops.mean(rows, axis=2)
        mean = mean - ops.mean(mean, axis=1, keepdims=True)
        against = ops.sum(component * mean, axis=1, keepdims=True) < 0
        component = ops.where(against, -component, component)
        return ops.relu(ops.reshape(component, (-1, *cells))), predictions


def cells_count(sizes):
    """Number of cells of a feature map."""
    count = 1
    for size in sizes:
        count = count * size
    return count


def first_component(rows):
    """Scores of the first principal component, up to sign, by power iteration.

    Args:
        rows: float32 of shape (N, cells, channels), of mean zero over the cells.

    Returns:
        float32 of shape (N, cells): the projections, as `U[:, 0] * S[0]` of the SVD.
    """
    largest = ops.max(ops.abs(rows), axis=(1, 2), keepdims=True)
    rows = ops.divide_no_nan(rows, largest)
    columns = ops.transpose(rows, (0, 2, 1))
    start = targets.one_hot(ops.sum(ops.square(rows), axis=2))  # the most unusual cell

    def step(_, direction):
        moved = ops.matmul(columns, ops.matmul(rows, direction))
        return ops.divide_no_nan(moved, ops.sqrt(ops.sum(ops.square(moved), axis=1, keepdims=True)))

    direction = backend.fori_loop(0, STEPS, step, ops.matmul(columns, start[:, :, None]))
    return (ops.matmul(rows, direction) * largest)[:, :, 0]


@spell_out(EigenCAM)
def eigen_cam(model: keras.Model, **options: Unpack[FeatureMapOptions]) -> ExplainedModel:
    """Build a model that shows what a layer reacts to most, without gradient and class.

    The first principal component of the feature map over its cells: the pattern of channels
    that varies most from place to place, and how strongly each cell shows it. The sign is that
    of the mean activation; cells below the mean are cut off. Costs one forward pass. It knows
    nothing of the score: it shows the salient object, also when the model decided by another.

    Reference: Muhammad and Yeasin 2020, "Eigen-CAM: Class Activation Map using Principal
    Components", https://arxiv.org/abs/2008.00299.

    Args:
        model: a built `keras.Model` (Functional, Sequential, nested or traceable subclass). It
            is shared and never changed.
        **options: those of `FeatureMapOptions`; `help` shows each.

    Returns:
        A `keras.Model` to {"predictions", "heatmap"}; the heatmap is non-negative, float32 of
        shape (N, H, W), in units of the activation.

    Raises:
        TypeError, ValueError: see `grad_cam`.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((24, 32, 3)),
        ...     keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.GlobalAveragePooling2D(),
        ...     keras.layers.Dense(2, activation="softmax"),
        ... ])
        >>> out = kx.eigen_cam(model).predict(np.random.rand(5, 24, 32, 3), verbose=0)
        >>> out["heatmap"].shape
        (5, 24, 32)
    """
    return EigenCAM(model, **options).explained_model()
