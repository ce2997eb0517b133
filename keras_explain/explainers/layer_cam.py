"""LayerCAM."""

from typing import Unpack

import keras
from keras import ops

from keras_explain.explainers._cam import CAM
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import FeatureMapOptions
from keras_explain.signatures import spell_out


@keras.saving.register_keras_serializable("keras_explain")
class LayerCAM(CAM):
    """The layer behind `layer_cam`."""

    def combine(self, features, gradients):
        return ops.relu(ops.sum(ops.relu(gradients) * features, axis=-1))


@spell_out(LayerCAM)
def layer_cam(model: keras.Model, **options: Unpack[FeatureMapOptions]) -> ExplainedModel:
    """Build a model that shows where a network saw its class, at shallow layers too.

    Each feature is weighted by its own positive gradient. Grad-CAM's one weight per channel
    says little about a shallow layer, whose channels (edges, colors) fire all over the image;
    weights per cell give fine maps there. Costs what Grad-CAM costs, plus the layers that the
    gradient passes. It leaves out what speaks against the class: features that cancel out look
    like evidence.

    Reference: Jiang et al. 2021, "LayerCAM: Exploring Hierarchical Class Activation Maps for
    Localization", IEEE TIP 30, https://doi.org/10.1109/TIP.2021.3089943.

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
        >>> keras.utils.set_random_seed(0)
        >>> model = keras.Sequential([
        ...     keras.Input((24, 32, 3)),
        ...     keras.layers.Conv2D(4, 3, activation="relu", name="shallow"),
        ...     keras.layers.Conv2D(4, 3, 2, activation="relu", name="deep"),
        ...     keras.layers.GlobalAveragePooling2D(),
        ...     keras.layers.Dense(2, activation="softmax"),
        ... ])
        >>> explained = kx.layer_cam(model, layer=["shallow", "deep"])
        >>> maps = explained.predict(np.ones((5, 24, 32, 3)), verbose=0)["heatmap"]
        >>> maps["shallow"].shape, maps["deep"].shape
        ((5, 24, 32), (5, 24, 32))
    """
    return LayerCAM(model, **options).explained_model()
