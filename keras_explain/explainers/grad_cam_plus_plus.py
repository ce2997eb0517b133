"""Grad-CAM++."""

from typing import Unpack

import keras
from keras import ops

from keras_explain.explainers._cam import CAM
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import FeatureMapOptions
from keras_explain.signatures import spell_out


@keras.saving.register_keras_serializable("keras_explain")
class GradCAMPlusPlus(CAM):
    """The layer behind `grad_cam_plus_plus`."""

    def combine(self, features, gradients):
        space = tuple(range(1, len(features.shape) - 1))
        total = ops.sum(features, axis=space, keepdims=True)
        # g^2 / (2 g^2 + total g^3), shortened by g^2, which is 0 in float32 for g < 1e-23.
        alpha = ops.divide_no_nan(ops.ones_like(gradients), 2.0 + total * gradients)
        weights = ops.sum(alpha * ops.relu(gradients), axis=space, keepdims=True)
        return ops.relu(ops.sum(weights * features, axis=-1))


@spell_out(GradCAMPlusPlus)
def grad_cam_plus_plus(model: keras.Model, **options: Unpack[FeatureMapOptions]) -> ExplainedModel:
    """Build a model that shows where a network saw its class, also where it saw it twice.

    Grad-CAM averages the gradient over the feature map, so of several objects of a class the
    largest wins. Grad-CAM++ weights each cell's positive gradient such that every cell which
    contributes counts alike, whatever the object's size. Costs what Grad-CAM costs. The
    weighting assumes an exponential of the score; behind a linear head on global average
    pooling it differs from Grad-CAM mostly by ignoring the channels that speak against the
    class, and it is less faithful to the score for that.

    Reference: Chattopadhay et al. 2018, "Grad-CAM++: Generalized Gradient-based Visual
    Explanations for Deep Convolutional Networks", https://arxiv.org/abs/1710.11063. The paper's
    factor exp(score), which is the same for all cells of an image, is left out: it overflows.

    Args:
        model: a built `keras.Model` (Functional, Sequential, nested or traceable subclass). It
            is shared and never changed.
        **options: those of `FeatureMapOptions`; `help` shows each.

    Returns:
        A `keras.Model` to {"predictions", "heatmap"}; the heatmap is non-negative, float32 of
        shape (N, H, W).

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
        >>> out = kx.grad_cam_plus_plus(model).predict(np.random.rand(5, 24, 32, 3), verbose=0)
        >>> out["heatmap"].shape
        (5, 24, 32)
    """
    return GradCAMPlusPlus(model, **options).explained_model()
