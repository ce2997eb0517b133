"""Guided backpropagation and guided Grad-CAM."""

import keras
from keras import ops

from keras_explain.explainers.base import Explainer, Plain, differentiable_value, heatmap_axes
from keras_explain.explainers.grad_cam import GradCAM
from keras_explain.explainers.saliency import over_channels
from keras_explain.program import get_mask, set_mask, view


@keras.saving.register_keras_serializable("keras_explain")
class GuidedBackprop(Explainer):
    """The layer behind `guided_backprop`."""

    def __init__(self, model, *, signed=False, **options):
        super().__init__(model, **options)
        self.signed = signed
        self.explain_inputs(self.program.inputs)
        plain, self.program = self.program, self.program.replace(guided)
        if all(a.fn is b.fn for a, b in zip(plain.steps, self.program.steps, strict=True)):
            raise ValueError(
                f"Expected a model with ReLU activations, received {model.name!r} without any in"
                " reach (a layer that cannot be traced hides its own), for which guided"
                " backpropagation is the plain gradient. Use `saliency`."
            )
        self.cut = tuple(differentiable_value(self.program, v) for v in self.explained)

    def compute(self, values, request):
        _, grads, predictions = self.gradients(values, request, self.cut)
        heatmaps = [over_channels(self.program, v, g, self.signed)
                    for v, g in zip(self.explained, grads, strict=True)]
        return heatmaps, predictions

    def get_config(self):
        return {**super().get_config(), "signed": self.signed}


@keras.saving.register_keras_serializable("keras_explain")
class GuidedGradCAM(Explainer):
    """The layer behind `guided_grad_cam`."""

    def __init__(self, model, *, layer=None, node_index=None, reshape=None, signed=False,
                 **options):
        super().__init__(model, **options)
        own = {k: v for k, v in options.items() if k in ("target", "output", "input", "score")}
        cam = GradCAM(model, layer=layer, node_index=node_index, reshape=reshape, **own)
        seen = cam.program.inputs.index(cam.explained[0])
        fine = GuidedBackprop(model, signed=signed, **{**own, "input": seen})
        self.parts = Plain((cam, fine))
        self.explain_inputs([self.program.inputs[seen]])
        self.keys, self.layer_path = cam.keys, cam.layer_path
        self.node_index, self.reshape, self.signed = node_index, cam.reshape, signed

    def compute(self, values, request):
        cam, fine = self.parts.value
        coarse, predictions = cam.compute(values, request)
        (gradient,), _ = fine.compute(values, request)
        return [c * gradient for c in coarse], predictions

    def heatmap_shapes(self):
        spec = self.explained[0].spec
        axes = heatmap_axes(self.program, self.explained[0])
        return [tuple(spec.shape[a] for a in axes)] * len(self.keys)

    def get_config(self):
        several = isinstance(self.layer_path, tuple)
        return {**super().get_config(), "node_index": self.node_index, "reshape": self.reshape,
                "layer": list(self.layer_path) if several else self.layer_path,
                "signed": self.signed}


@ops.custom_gradient
def _positive(x):
    """`x`, through which negative gradients do not pass."""

    def grad(*args, upstream=None):
        return ops.relu(args[0] if upstream is None else upstream)

    return ops.convert_to_tensor(x), grad


class _Guided:
    """An activation whose result goes through `_positive`."""

    def __init__(self, fn):
        self.fn = fn

    def __call__(self, *args, **kwargs):
        outputs = self.fn(*args, **kwargs)
        guided = _positive(outputs)
        if get_mask(outputs) is not None:
            set_mask(guided, get_mask(outputs))
        return guided


def guided(fn):
    """The function of a step with its ReLU guided; `fn` itself where it has none."""
    if _is_relu(fn):
        return _Guided(fn)
    activation = getattr(fn, "__dict__", {}).get("activation")
    return view(fn, activation=_Guided(activation)) if _is_relu(activation) else fn


def _is_relu(fn):
    if fn in (keras.activations.relu, keras.activations.relu6):
        return True
    return type(fn).__name__ in ("ReLU", "Relu", "Relu6") and not getattr(fn, "negative_slope", 0)


def guided_backprop(model, target=None, *, signed=False, **options):
    """Build a model that shows edges which feed the class, and do not trust it.

    The gradient of the class's logit by the input, where each ReLU on the way back also stops
    negative gradients. Costs what saliency costs. It looks sharp and **fails the randomisation
    check**: with random weights it gives nearly the same picture (Adebayo et al. 2018), because
    it recovers the image's edges whatever the network learned (Nie et al. 2018). It is here to
    be compared with; explain with `saliency`, `smooth_grad` or `integrated_gradients`.

    Springenberg et al. 2014, "Striving for Simplicity: The All Convolutional Net",
    https://arxiv.org/abs/1412.6806. Adebayo et al. 2018, "Sanity Checks for Saliency Maps",
    https://arxiv.org/abs/1810.03292. Nie et al. 2018, "A Theoretical Explanation for Perplexing
    Behaviors of Backpropagation-based Visualizations", https://arxiv.org/abs/1805.07039.

    Args:
        model: a built `keras.Model` with ReLU or ReLU6: as layers, as activations of other
            layers, or as operations, also in nested models. Never changed.
        target: see `grad_cam`.
        signed: True keeps the sign, summed over the channels; else the largest magnitude.
        **options: output, input, score, normalize: see `grad_cam`.

    Returns:
        A `keras.Model` to {"predictions", "heatmap"}; the heatmap is float32 of shape (N, H, W)
        for images, (N, T) for sequences and tokens, (N, F) for tables.

    Raises:
        TypeError, ValueError: see `grad_cam`; a model without ReLU.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((16, 16, 1)), keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax"),
        ... ])
        >>> kx.guided_backprop(model)(np.random.rand(3, 16, 16, 1))["heatmap"].shape
        (3, 16, 16)
    """
    return GuidedBackprop(model, target=target, signed=signed, **options).explained_model()


def guided_grad_cam(model, layer=None, target=None, *, signed=False, **options):
    """Build a model that shows Grad-CAM's region with guided backpropagation's edges.

    The product of `grad_cam`, enlarged, and `guided_backprop`. Costs both. Its fine detail comes
    from guided backpropagation, and with it the product **fails the randomisation check**
    (Adebayo et al. 2018): what is sharp in it is the image, only the coarse region is the
    network's. It is here to be compared with.

    Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization", https://arxiv.org/abs/1610.02391. Adebayo et al. 2018, "Sanity
    Checks for Saliency Maps", https://arxiv.org/abs/1810.03292.

    Args:
        model: a built `keras.Model` with convolutions and ReLU. Never changed.
        layer: the feature map of Grad-CAM, or a list of them, see `grad_cam`.
        target: see `grad_cam`.
        signed: see `guided_backprop`.
        **options: output, input, node_index, reshape, score, normalize: see `grad_cam`.

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
        >>> kx.guided_grad_cam(model)(np.random.rand(3, 16, 16, 1))["heatmap"].shape
        (3, 16, 16)
    """
    return GuidedGradCAM(
        model, layer=layer, target=target, signed=signed, **options
    ).explained_model()
