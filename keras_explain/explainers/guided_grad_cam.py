"""Guided Grad-CAM."""

from typing import Annotated, Any, Unpack

import keras

from keras_explain.checks import check_bool
from keras_explain.explainers._base import Explainer
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import SignedOptions
from keras_explain.explainers.grad_cam import GradCAM
from keras_explain.explainers.guided_backprop import GuidedBackprop
from keras_explain.signatures import spell_out


@keras.saving.register_keras_serializable("keras_explain")
class GuidedGradCAM(Explainer):
    """The layer behind `guided_grad_cam`."""

    def __init__(self, model, *, layer=None, node_index=None, reshape=None, signed=False,
                 **options):
        super().__init__(model, **options)
        own = {k: v for k, v in options.items() if k in ("target", "output", "input", "score")}
        cam = GradCAM(model, layer=layer, node_index=node_index, reshape=reshape, **own)
        seen = [cam.question.index(v) for v in cam.question.explained]
        fine = GuidedBackprop(model, signed=signed, **{**own, "input": seen})
        self.parts = _Parts(cam, fine)
        self.explain_inputs([self.question.program.inputs[i] for i in seen])
        self.keys = cam.keys
        self.signed = check_bool("signed", signed)

    def compute(self, values, request):
        cam, fine = self.parts.cam, self.parts.fine
        coarse, predictions = cam.compute(values, request)
        gradients, _ = fine.compute(values, request)
        if cam.several:
            gradients = gradients * len(coarse)
        return [c * g for c, g in zip(coarse, gradients, strict=True)], predictions

    @property
    def layer_path(self):
        return self.parts.cam.layer_path

    @property
    def place(self):
        return self.layer_path

    def heatmap_shapes(self):
        return self.parts.cam.heatmap_shapes()

    def get_config(self):
        kept = {k: self.parts.cam.get_config()[k] for k in ("layer", "node_index", "reshape")}
        return {**super().get_config(), **kept, "signed": self.signed}


class _Parts:
    """Hides the two layers from Keras: this layer alone holds the model."""

    def __init__(self, cam, fine):
        self.cam, self.fine = cam, fine


class GuidedGradCAMOptions(SignedOptions, total=False):
    """What `guided_grad_cam` takes besides."""

    layer: Annotated[
        Any,
        "the feature map of Grad-CAM: a name, a path into a nested model, a layer object, or a "
        "list of them for one map each. None takes the last feature map before pooling.",
    ]
    node_index: Annotated[
        int | None,
        "which call, for a layer that is called several times.",
    ]
    reshape: Annotated[
        Any,
        "(rows, columns) of the token grid, for a layer of a transformer.",
    ]


@spell_out(GuidedGradCAM)
def guided_grad_cam(
    model: keras.Model, **options: Unpack[GuidedGradCAMOptions]
) -> ExplainedModel:
    """Build a model that shows Grad-CAM's region with guided backpropagation's edges.

    The product of `grad_cam`, enlarged, and `guided_backprop`. Costs both. Its fine detail comes
    from guided backpropagation, and with it the product **fails the randomization check**
    (Adebayo et al. 2018): what is sharp in it is the image, only the coarse region is the
    network's. It is here to be compared with. Like `grad_cam` it warns where the model does not
    average its feature map.

    Reference: Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization", https://arxiv.org/abs/1610.02391. Adebayo et al. 2018, "Sanity
    Checks for Saliency Maps", https://arxiv.org/abs/1810.03292.

    Args:
        model: a built `keras.Model` with convolutions and ReLU. Never changed.
        **options: those of `GuidedGradCAMOptions`; `help` shows each.

    Returns:
        A `keras.Model` to {"predictions", "heatmap"}; the heatmap is float32 of shape (N, H, W).

    Raises:
        TypeError, ValueError: see `grad_cam`; a model without ReLU.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((16, 16, 1)), keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2),
        ... ])
        >>> out = kx.guided_grad_cam(model).predict(np.random.rand(3, 16, 16, 1), verbose=0)
        >>> out["heatmap"].shape
        (3, 16, 16)
    """
    explainer = GuidedGradCAM(model, **options)
    explainer.parts.cam.warn_where_unaveraged(
        "Multiply the maps of `hires_cam` and `guided_backprop` instead.")
    return explainer.explained_model()
