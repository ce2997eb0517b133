"""Grad-CAM."""

import keras
from keras import ops

from keras_explain.explainers.cam import CAM


@keras.saving.register_keras_serializable("keras_explain")
class GradCAM(CAM):
    """The layer behind `grad_cam`."""

    def combine(self, features, gradients):
        space = tuple(range(1, len(features.shape) - 1))
        weights = ops.mean(gradients, axis=space, keepdims=True)
        return ops.relu(ops.sum(weights * features, axis=-1))


def grad_cam(model, layer=None, target=None, **options):
    """Build a model that shows where a convolutional network saw its class.

    The feature maps of one layer are weighted by the mean gradient of the class's logit and
    summed; what speaks against the class is cut off. Cheap (about one forward pass), coarse
    (the size of the feature map, interpolated to the image), the first method to try.

    Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization", https://arxiv.org/abs/1610.02391.

    Args:
        model: a built `keras.Model` (Functional, Sequential, nested or traceable subclass). It
            is shared: later training shows in the maps. It is never changed.
        layer: the feature map to read: a name ("conv5"), a path into a nested model
            ("backbone/conv5"), a layer object, or a list of them for one map each. None takes
            the last feature map before pooling.
        target: None explains each image's own top class; an int one class; a sequence one
            class per image of the batch; "input" adds a model input `target` (int32, -1 for
            the top class); a callable maps the model's outputs to a score (N,).
        **options:
            output, input: name or index, for models with several.
            node_index: which call of a layer that is used several times.
            reshape: (rows, columns) of the token grid of a transformer layer.
            score: "logit" (default) or "probability".
            resize: False keeps the map at the feature map's size.
            normalize: None (raw, default), "max" or "range".

    Returns:
        A `keras.Model` from the same inputs to {"predictions": what `model` gives,
        "heatmap": float32 of shape (N, H, W), non-negative, in units of the logit}.

    Raises:
        TypeError: not a Keras model, or a target of no known kind.
        ValueError: an unknown, ambiguous or disconnected layer, a class out of range, no
            convolution. Nothing has been computed then.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((24, 32, 3)),
        ...     keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.GlobalAveragePooling2D(),
        ...     keras.layers.Dense(2, activation="softmax"),
        ... ])
        >>> explained = kx.grad_cam(model, target=1)
        >>> out = explained.predict(np.random.rand(5, 24, 32, 3), verbose=0)
        >>> out["heatmap"].shape, out["predictions"].shape
        ((5, 24, 32), (5, 2))
    """
    return GradCAM(model, layer=layer, target=target, **options).explained_model()
