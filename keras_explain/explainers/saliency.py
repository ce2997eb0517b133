"""Saliency: the gradient of the score by the input."""

import collections
from typing import Unpack

import keras
import numpy as np
from keras import ops

from keras_explain.checks import check_bool
from keras_explain.explainers._base import Explainer
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import SignedInputOptions
from keras_explain.graph.axes import channel_axes
from keras_explain.signatures import spell_out


@keras.saving.register_keras_serializable("keras_explain")
class Saliency(Explainer):
    """The layer behind `saliency`."""

    def __init__(self, model, *, signed=False, **options):
        super().__init__(model, **options)
        self.signed = check_bool("signed", signed)
        self.explain_gradients()

    def compute(self, values, request):
        _, grads, predictions = self.question.differentiate(values, request, self.cut)
        return maps_of(self, grads, self.signed), predictions

    def get_config(self):
        return {**super().get_config(), "signed": self.signed}


def maps_of(explainer, found, signed):
    """A map for each explained input, of numbers at the places where was differentiated.

    One number per pixel: the sum over the channels, or the largest magnitude. One per token: the
    sum or the norm over its rows of all tables. One for a category: the same over its one-hot
    row; a row that several columns make together, as `HashedCrossing` does, is shared out equally.

    Args:
        explainer: it tells the places.
        found: a tensor for each Value of its `cut`.
        signed: sums, or magnitudes.
    """
    maps, found = [], dict(zip(explainer.cut, found, strict=True))
    claims = _count_claims(explainer.places) if signed else {}
    for value in explainer.question.explained:
        parts = [(p, _over_channels(explainer.question.program, p, found[p.cut], signed,
                                    claims.get(p.cut)))
                 for p in explainer.places if p.value is value]
        if len(parts) == 1 and parts[0][0].source is None:
            maps.append(parts[0][1])
        elif signed:
            maps.append(sum(place.onto_input(x) for place, x in parts))
        else:
            maps.append(ops.sqrt(sum(place.onto_input(ops.square(x)) for place, x in parts)))
    return maps


def _count_claims(places):
    """{cut: how many inputs each of its rows is looked up by}, of those with more than one."""
    found = collections.defaultdict(list)
    for place in places:
        found[place.cut].append(1 if place.source is None else place.source >= 0)
    totals = {cut: sum(np.asarray(c, "float32") for c in claims) for cut, claims in found.items()}
    return {cut: np.maximum(total, 1) for cut, total in totals.items() if np.max(total) > 1}


def _over_channels(program, place, found, signed, claims):
    found = ops.cast(found, "float32")
    if place.read is not None:
        if claims is not None:
            claims = claims.reshape(place.read.spec.shape[1:] if claims.ndim else ())
            found = found / ops.convert_to_tensor(claims.reshape((*claims.shape, *[1] * (
                len(found.shape) - 1 - claims.ndim))))
        rank = len(place.read.spec.shape)
        if len(found.shape) == rank:  # a one-hot row in the place of one number
            found = ops.expand_dims(found, rank - 1)
        width = tuple(range(rank, len(found.shape)))
        return ops.sum(found, axis=width) if signed else ops.norm(found, axis=width)
    channels = channel_axes(program, place.value, len(found.shape))
    if signed:
        return ops.sum(found, axis=channels) if channels else found
    return ops.max(ops.abs(found), axis=channels) if channels else ops.abs(found)


@spell_out(Saliency)
def saliency(model: keras.Model, **options: Unpack[SignedInputOptions]) -> ExplainedModel:
    """Build a model that shows how strongly each pixel moves the score.

    The gradient of the class's logit by the input: the largest magnitude over the channels, or
    with `signed=True` their sum. Sharp and noisy; it shows sensitivity, not contribution.
    Token models are differentiated at their embedding: one score per token, the norm of its
    gradient, zero on padding. Models with TextVectorization inside take strings.

    Reference: Simonyan, Vedaldi and Zisserman 2013, "Deep Inside Convolutional Networks:
    Visualising Image Classification Models and Saliency Maps", https://arxiv.org/abs/1312.6034.

    Args:
        model: a built `keras.Model`; subclassed models need not be traceable. Never changed.
        **options: those of `SignedInputOptions`; `help` shows each.

    Returns:
        A `keras.Model` to {"predictions", "heatmap"}; the heatmap is float32 of shape
        (N, H, W) for images, (N, T) for sequences and tokens, (N, F) for tables, in units of
        the logit per unit of input. With several inputs, a list or dict of heatmaps.

    Raises:
        TypeError, ValueError: see `grad_cam`.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> out = kx.saliency(model, signed=True)(np.ones((2, 3)))
        >>> bool(np.allclose(out["heatmap"][0], model.layers[0].kernel[:, 0]))
        True
    """
    return Saliency(model, **options).explained_model()
