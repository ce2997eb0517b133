"""XGrad-CAM."""

from typing import Unpack

import keras
from keras import ops

from keras_explain.explainers._cam import CAM
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import FeatureMapOptions
from keras_explain.signatures import spell_out


@keras.saving.register_keras_serializable("keras_explain")
class XGradCAM(CAM):
    """The layer behind `xgrad_cam`."""

    def combine(self, features, gradients):
        space = tuple(range(1, len(features.shape) - 1))
        total = ops.sum(features, axis=space, keepdims=True)
        effect = ops.sum(gradients * features, axis=space, keepdims=True)
        return ops.relu(ops.sum(ops.divide_no_nan(effect, total) * features, axis=-1))


@spell_out(XGradCAM)
def xgrad_cam(model: keras.Model, **options: Unpack[FeatureMapOptions]) -> ExplainedModel:
    """Build a model that shows where a network saw its class, with weights that add up.

    Grad-CAM with another mean: the gradient of a channel is averaged over the cells in
    proportion to their activation, so that the map of each channel sums to that channel's
    contribution to the score (gradient times activation). Costs what Grad-CAM costs, and equals
    it behind global average pooling. Channels whose activations are of both signs (no ReLU)
    may sum to nearly zero and then get huge weights.

    Reference: Fu et al. 2020, "Axiom-based Grad-CAM: Towards Accurate Visualization and
    Explanation of CNNs", https://arxiv.org/abs/2008.02312.

    Args:
        model: a built `keras.Model` (Functional, Sequential, nested or traceable subclass). It
            is shared and never changed.
        **options: those of `FeatureMapOptions`; `help` shows each.

    Returns:
        A `keras.Model` to {"predictions", "heatmap"}; the heatmap is non-negative, float32 of
        shape (N, H, W), in units of the logit.

    Raises:
        TypeError, ValueError: see `grad_cam`.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((24, 32, 3)),
        ...     keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.Flatten(),
        ...     keras.layers.Dense(2, activation="softmax"),
        ... ])
        >>> out = kx.xgrad_cam(model).predict(np.random.rand(5, 24, 32, 3), verbose=0)
        >>> out["heatmap"].shape
        (5, 24, 32)
    """
    return XGradCAM(model, **options).explained_model()
