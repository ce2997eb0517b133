"""Guided backpropagation."""

from typing import Unpack

import keras
from keras import ops

from keras_explain.explainers._base import Explainer
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import SignedOptions
from keras_explain.explainers.saliency import over_channels
from keras_explain.graph.program import get_mask, set_mask, view
from keras_explain.signatures import spell_out


@keras.saving.register_keras_serializable("keras_explain")
class GuidedBackprop(Explainer):
    """The layer behind `guided_backprop`."""

    def __init__(self, model, *, signed=False, **options):
        super().__init__(model, **options)
        self.signed = signed
        self.explain_inputs(self.question.program.inputs)
        plain, self.question.program = self.question.program, self.question.program.replace(guided)
        if all(a.fn is b.fn for a, b in zip(plain.steps, self.question.program.steps, strict=True)):
            raise ValueError(
                f"Expected a model with ReLU activations, received {model.name!r} without any in"
                " reach (a layer that cannot be traced hides its own), for which guided"
                " backpropagation is the plain gradient. Use `saliency`."
            )
        self.cut = self.question.differentiable_values()

    def compute(self, values, request):
        _, grads, predictions = self.question.differentiate(values, request, self.cut)
        heatmaps = [over_channels(self.question.program, v, g, self.signed)
                    for v, g in zip(self.question.explained, grads, strict=True)]
        return heatmaps, predictions

    def get_config(self):
        return {**super().get_config(), "signed": self.signed}


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


@spell_out(GuidedBackprop)
def guided_backprop(model: keras.Model, **options: Unpack[SignedOptions]) -> ExplainedModel:
    """Build a model that shows edges which feed the class, and do not trust it.

    The gradient of the class's logit by the input, where each ReLU on the way back also stops
    negative gradients. Costs what saliency costs. It looks sharp and **fails the randomization
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
        signed: True keeps the sign, summed over the channels; else the largest magnitude.
        **options: those of `SignedOptions`; `help` shows each.

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
    return GuidedBackprop(model, **options).explained_model()
