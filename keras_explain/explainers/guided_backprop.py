"""Guided backpropagation."""

from typing import Unpack

import keras
from keras import ops

from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._modified_gradient import ModifiedGradient
from keras_explain.explainers._options import SignedInputOptions
from keras_explain.explainers._relu import hides_relu, is_relu
from keras_explain.signatures import spell_out


@keras.saving.register_keras_serializable("keras_explain")
class GuidedBackprop(ModifiedGradient):
    """The layer behind `guided_backprop`."""

    def change(self, activation):
        return _Guided(activation) if is_relu(activation) else activation

    def overlooks(self, step):
        return hides_relu(step)

    def nothing_to_change(self):
        return (
            f"Expected a model with ReLU activations, received {self.model.name!r} without any,"
            " for which guided backpropagation is the plain gradient. Use `saliency`."
        )


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
        return _positive(self.fn(*args, **kwargs))


@spell_out(GuidedBackprop)
def guided_backprop(model: keras.Model, **options: Unpack[SignedInputOptions]) -> ExplainedModel:
    """Build a model that shows edges which feed the class, and do not trust it.

    The gradient of the class's logit by the input, where each ReLU on the way back also stops
    negative gradients. Costs what saliency costs. It looks sharp and **fails the randomization
    check**: with random weights it gives nearly the same picture (Adebayo et al. 2018), because
    it recovers the image's edges whatever the network learned (Nie et al. 2018). It is here to
    be compared with; explain with `saliency`, `smooth_grad` or `integrated_gradients`.

    Reference: Springenberg et al. 2014, "Striving for Simplicity: The All Convolutional Net",
    https://arxiv.org/abs/1412.6806. Adebayo et al. 2018, "Sanity Checks for Saliency Maps",
    https://arxiv.org/abs/1810.03292. Nie et al. 2018, "A Theoretical Explanation for Perplexing
    Behaviors of Backpropagation-based Visualizations", https://arxiv.org/abs/1805.07039.

    Args:
        model: a built `keras.Model` with ReLU or ReLU6: as layers, functions, activations of
            other layers, or operations, also in nested models. Never changed.
        signed: True keeps the sign, summed over the channels; else the largest magnitude.
        **options: those of `SignedInputOptions`; `help` shows each.

    Returns:
        A `keras.Model` to {"predictions", "heatmap"}; the heatmap is float32 of shape (N, H, W)
        for images, (N, T) for sequences and tokens, (N, F) for tables.

    Raises:
        TypeError, ValueError: see `grad_cam`; a model without ReLU, or one of whose steps
            computes a ReLU together with other things, which the rule cannot reach.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((16, 16, 1)), keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax"),
        ... ])
        >>> out = kx.guided_backprop(model).predict(np.random.rand(3, 16, 16, 1), verbose=0)
        >>> out["heatmap"].shape
        (3, 16, 16)
    """
    return GuidedBackprop(model, **options).explained_model()
