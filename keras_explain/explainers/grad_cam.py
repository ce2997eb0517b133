"""Grad-CAM."""

import warnings
from typing import Unpack

import keras
from keras import ops

from keras_explain.explainers._cam import CAM
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._heads import averages_map
from keras_explain.explainers._options import FeatureMapOptions
from keras_explain.graph.feature_maps import find_last_maps
from keras_explain.signatures import spell_out


@keras.saving.register_keras_serializable("keras_explain")
class GradCAM(CAM):
    """The layer behind `grad_cam`."""

    def find_unaveraged(self):
        """The path of the first layer to read behind which no map is averaged, or None.

        Of a layer in the middle of a network that averages its last map, convolutions read each
        place alike.
        """
        last = self._last_maps()

        def is_averaged(value):
            return averages_map(self.question, value, self.grids.get(value))

        if last and all(map(is_averaged, last)):
            return None
        calls = self.question.scored.calls_by_value()
        return next((calls[v].path for v in self.features if not is_averaged(v)), None)

    def warn_where_unaveraged(self, remedy):
        """A warning, for the user's call of the builder, where the mean gradient loses places."""
        path = self.find_unaveraged()
        if path is not None:
            warnings.warn(
                f"Expected a model that averages its feature map {path!r}, as global average"
                f" pooling does, received {self.model.name!r}, to which each place of the map"
                " counts differently (Flatten, a maximum, attention). Grad-CAM's mean gradient"
                f" loses that: its maps may be blank or point to the wrong place. {remedy}",
                stacklevel=4)

    def _last_maps(self):
        """The last feature maps, where they are others than those that are read."""
        scored = self.question.scored
        try:
            values = [call.outputs[0] for call in find_last_maps(scored)]
        except ValueError:  # tokens, or an own layer: there is none to be told
            return []
        later = scored.ancestors(values).issuperset(self.features)
        return values if later and not set(values).intersection(self.features) else []

    def combine(self, features, gradients):
        space = tuple(range(1, len(features.shape) - 1))
        weights = ops.mean(gradients, axis=space, keepdims=True)
        return ops.relu(ops.sum(weights * features, axis=-1))


@spell_out(GradCAM)
def grad_cam(model: keras.Model, **options: Unpack[FeatureMapOptions]) -> ExplainedModel:
    """Build a model that shows where a convolutional network saw its class.

    The feature maps of one layer are weighted by the mean gradient of the class's logit and
    summed; what speaks against the class is cut off. Cheap (about one forward pass), coarse
    (the size of the feature map, interpolated to the image), the first method to try where the
    model averages its last feature map (global average pooling). Where it does not (Flatten,
    a maximum, attention), the mean gradient loses what counted where: maps are blank or point to
    the wrong place, a warning says so, and `hires_cam` is the method. Behind a mean both are equal.

    Reference: Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization", https://arxiv.org/abs/1610.02391.

    Args:
        model: a built `keras.Model` (Functional, Sequential, nested or traceable subclass). It
            is shared: later training shows in the maps. It is never changed.
        **options: those of `FeatureMapOptions`; `help` shows each.

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
    cam = GradCAM(model, **options)
    cam.warn_where_unaveraged("Use `hires_cam`.")
    return cam.explained_model()
