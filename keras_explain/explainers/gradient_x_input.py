"""Gradient times input."""

import warnings
from typing import Unpack

import keras
from keras import ops

from keras_explain.explainers._base import Explainer
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import InputOptions
from keras_explain.explainers.saliency import maps_of
from keras_explain.graph import steps as kinds
from keras_explain.graph.models import inner_layers
from keras_explain.signatures import spell_out


class GatedModelWarning(UserWarning):
    """A method is asked of a model with attention or normalization, for which it is not made."""


@keras.saving.register_keras_serializable("keras_explain")
class GradientXInput(Explainer):
    """The layer behind `gradient_x_input`."""

    signed = True

    def __init__(self, model, **options):
        super().__init__(model, **options)
        self.explain_gradients()
        place = _find_multiplying(self.question.scored, self.cut)
        if place is not None:
            warnings.warn(
                f"gradient_x_input of {model.name!r}: {place!r} multiplies its input with numbers"
                " that it computes from the same (attention, a normalization). Gradient times"
                " input says little there; on a real BERT it orders words worse than chance. Use"
                " `local_linear`.", GatedModelWarning, stacklevel=4)

    def compute(self, values, request):
        points, grads, predictions = self.question.differentiate(values, request, self.cut)
        products = [ops.cast(point, "float32") * ops.cast(gradient, "float32")
                    for point, gradient in zip(points, grads, strict=True)]
        return maps_of(self, products, signed=True), predictions


def _find_multiplying(program, cut):
    """The first step that multiplies what is explained with itself; None where none does."""
    reached = set(cut)
    for step in program.steps:
        if reached.intersection(step.reads):
            reached.update(step.outputs)
            if any(map(kinds.multiplies_itself, [step.fn, *inner_layers(step.fn)])):
                return step.path or kinds.kind(step.fn)
    return None


@spell_out(GradientXInput)
def gradient_x_input(model: keras.Model, **options: Unpack[InputOptions]) -> ExplainedModel:
    """Build a model that shows what each pixel contributes, to first order.

    The gradient of the class's logit times the input, summed over the channels: exactly the
    contribution in a linear model, and in a network of ReLUs without biases (there it adds up
    to the logit). Costs what saliency costs. It says nothing where the input is 0, so it depends
    on what 0 means after preprocessing (black or the mean color), and it is blind where a unit
    is saturated; `integrated_gradients` repairs both. In models with attention or normalization
    it says little, and warns: use `local_linear`.

    Reference: Shrikumar et al. 2016, "Not Just a Black Box: Learning Important Features Through
    Propagating Activation Differences", https://arxiv.org/abs/1605.01713.

    Args:
        model: a built `keras.Model`; subclassed models need not be traceable. Never changed.
        **options: those of `InputOptions`; `help` shows each.

    Returns:
        A `keras.Model` to {"predictions", "heatmap"}; the heatmap is signed, float32 of shape
        (N, H, W) for images, (N, T) for sequences and tokens (gradient times embedding),
        (N, F) for tables, in units of the logit. With several inputs, a list or dict of them.

    Raises:
        TypeError, ValueError: see `grad_cam`.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        >>> out = kx.gradient_x_input(model)(np.array([[1.0, -2.0, 0.5]]))
        >>> total = keras.ops.sum(out["heatmap"], axis=-1) - out["predictions"][:, 0]
        >>> bool(keras.ops.all(keras.ops.abs(total) < 1e-6))
        True
    """
    return GradientXInput(model, **options).explained_model()
