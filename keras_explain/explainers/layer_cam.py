"""LayerCAM."""

import keras
from keras import ops

from keras_explain.explainers.cam import CAM


@keras.saving.register_keras_serializable("keras_explain")
class LayerCAM(CAM):
    """The layer behind `layer_cam`."""

    def combine(self, features, gradients):
        return ops.relu(ops.sum(ops.relu(gradients) * features, axis=-1))


def layer_cam(model, layer=None, target=None, **options):
    """Build a model that shows where a network saw its class, at shallow layers too.

    Each feature is weighted by its own positive gradient. Grad-CAM's one weight per channel
    says little about a shallow layer, whose channels (edges, colours) fire all over the image;
    weights per cell give fine maps there. Costs what Grad-CAM costs, plus the layers that the
    gradient passes. It leaves out what speaks against the class: features that cancel out look
    like evidence.

    Jiang et al. 2021, "LayerCAM: Exploring Hierarchical Class Activation Maps for
    Localization", IEEE TIP 30, https://doi.org/10.1109/TIP.2021.3089943.

    Args:
        model: a built `keras.Model` (Functional, Sequential, nested or traceable subclass). It
            is shared and never changed.
        layer: the feature map to read, see `grad_cam`; a list gives one map for each, from
            fine to coarse. None takes the last one.
        target: the class to explain, see `grad_cam`.
        **options: output, input, node_index, reshape, score, resize, normalize: see `grad_cam`.

    Returns:
        A `keras.Model` to {"predictions", "heatmap"}; the heatmap is non-negative, float32 of
        shape (N, H, W), in units of the logit.

    Raises:
        TypeError, ValueError: see `grad_cam`.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((24, 32, 3)),
        ...     keras.layers.Conv2D(4, 3, activation="relu", name="shallow"),
        ...     keras.layers.Conv2D(4, 3, 2, activation="relu", name="deep"),
        ...     keras.layers.GlobalAveragePooling2D(),
        ...     keras.layers.Dense(2, activation="softmax"),
        ... ])
        >>> maps = kx.layer_cam(model, ["shallow", "deep"])(np.ones((5, 24, 32, 3)))["heatmap"]
        >>> maps["shallow"].shape, maps["deep"].shape
        ((5, 24, 32), (5, 24, 32))
    """
    return LayerCAM(model, layer=layer, target=target, **options).explained_model()
