"""HiResCAM."""

from typing import Annotated, Unpack

import keras
from keras import ops

from keras_explain.checks import check_bool
from keras_explain.explainers._cam import CAM
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import FeatureMapOptions
from keras_explain.signatures import spell_out


@keras.saving.register_keras_serializable("keras_explain")
class HiResCAM(CAM):
    """The layer behind `hires_cam`."""

    def __init__(self, model, *, signed=False, **options):
        super().__init__(model, **options)
        self.signed = check_bool("signed", signed)

    def combine(self, features, gradients):
        heatmap = ops.sum(gradients * features, axis=-1)
        return heatmap if self.signed else ops.relu(heatmap)

    def get_config(self):
        return {**super().get_config(), "signed": self.signed}


class HiResCAMOptions(FeatureMapOptions, total=False):
    """What `hires_cam` takes besides."""

    signed: Annotated[
        bool,
        "True keeps the cells that speak against the class, with their sign.",
    ]


@spell_out(HiResCAM)
def hires_cam(model: keras.Model, **options: Unpack[HiResCAMOptions]) -> ExplainedModel:
    """Build a model that shows which cells of a feature map the score was computed from.

    Each feature is multiplied by its own gradient, instead of by the gradient's mean over the
    map as in Grad-CAM, which smears evidence over cells that the model did not use. Where all
    that follows the layer is linear (flatten or pooling, then Dense), the signed map adds up
    to the logit but for the bias. Costs what Grad-CAM costs; behind global average pooling it
    is Grad-CAM; through deep heads it gets noisy.

    Reference: Draelos and Carin 2020, "Use HiResCAM instead of Grad-CAM for faithful explanations
    of convolutional neural networks", https://arxiv.org/abs/2011.08891.

    Args:
        model: a built `keras.Model` (Functional, Sequential, nested or traceable subclass). It
            is shared and never changed.
        **options: those of `HiResCAMOptions`; `help` shows each.

    Returns:
        A `keras.Model` to {"predictions", "heatmap"}; the heatmap is float32 of shape
        (N, H, W), in units of the logit, non-negative unless `signed`.

    Raises:
        TypeError, ValueError: see `grad_cam`.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((8, 12, 1)),
        ...     keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.Flatten(),
        ...     keras.layers.Dense(2),
        ... ])
        >>> out = kx.hires_cam(model, signed=True, resize=False, target=0)(np.ones((1, 8, 12, 1)))
        >>> logit = out["predictions"][0, 0]
        >>> bool(abs(float(out["heatmap"][0].numpy().sum() - logit)) < 1e-4)
        True
    """
    return HiResCAM(model, **options).explained_model()
