"""Ablation-CAM."""

from typing import Annotated, Unpack

import keras
from keras import ops

from keras_explain.checks import check_positive
from keras_explain.engine import sliding
from keras_explain.explainers._cam import FeatureMap
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import FeatureMapOptions
from keras_explain.graph.question import spacing
from keras_explain.signatures import spell_out


@keras.saving.register_keras_serializable("keras_explain")
class AblationCAM(FeatureMap):
    """The layer behind `ablation_cam`."""

    def __init__(self, model, *, batch_size=64, **options):
        super().__init__(model, **options)
        batch_size = check_positive("batch_size", batch_size)
        self.batch_size = batch_size

    def map_at(self, value, values, request):
        (features,), head = self.question.split_at(values, [value])
        scores, predictions = head([features])
        chosen = self.question.choose_class(scores, request)
        clean = ops.sum(scores * chosen, axis=-1)
        rank, axis = len(features.shape), self.question.program.channel_axis(value)
        count = features.shape[axis]
        channels = ops.reshape(ops.arange(count, dtype="int32"),
                               [count if a == axis else 1 for a in range(rank)])

        def drop(pairs):
            rows, channel = pairs // count, ops.reshape(pairs % count, [-1, *[1] * (rank - 1)])
            kept = ops.cast(ops.not_equal(channels, channel), features.dtype)
            scores, _ = head([ops.take(features, rows, axis=0) * kept], rows)
            lost = ops.sum(scores * ops.take(chosen, rows, axis=0), axis=-1)
            return ops.take(clean, rows) - lost

        drops = sliding.for_all_pairs(drop, ops.shape(features)[0], [count], self.batch_size)
        drops = ops.reshape(drops, (-1, count))
        relative = self.question.score == "probability"  # of a rare class, small itself
        largest = ops.abs(clean) if relative else ops.max(ops.abs(scores), axis=-1)
        drops = sliding.unless_rounding(drops, spacing(features) * largest)
        laid = self.channels_last(features, value)
        weights = ops.reshape(drops, (-1, *[1] * (len(laid.shape) - 2), count))
        return ops.relu(ops.sum(weights * laid, axis=-1)), predictions

    def get_config(self):
        return {**super().get_config(), "batch_size": self.batch_size}


class AblationCAMOptions(FeatureMapOptions, total=False):
    """What `ablation_cam` takes besides."""

    batch_size: Annotated[
        int,
        "forward passes at a time. It bounds the memory and changes no number.",
    ]


@spell_out(AblationCAM)
def ablation_cam(model: keras.Model, **options: Unpack[AblationCAMOptions]) -> ExplainedModel:
    """Build a model that weights each channel by what the score loses without it.

    Grad-CAM asks what a little more of a channel would do; Ablation-CAM sets each channel to
    zero and measures. No gradient, so it does not fade where the score saturates, and it works
    where no gradient flows. Costs one pass through the layers *after* the feature map per
    channel, little where that is pooling and Dense, much for a middle layer. A channel that
    another can replace counts as useless.

    Reference: Desai and Ramaswamy 2020, "Ablation-CAM: Visual Explanations for Deep Convolutional
    Network via Gradient-free Localization", WACV, https://doi.org/10.1109/WACV45572.2020.9093360.
    The paper divides the drop by the score, which would turn the map around where the logit is
    negative; here the drop itself is the weight.

    Args:
        model: a built `keras.Model` (Functional, Sequential, nested or traceable subclass). It
            is shared and never changed.
        **options: those of `AblationCAMOptions`; `help` shows each.

    Returns:
        A `keras.Model` to {"predictions", "heatmap"}; the heatmap is non-negative, float32 of
        shape (N, H, W), in units of the logit times the activation.

    Raises:
        TypeError, ValueError: see `grad_cam`.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((24, 32, 3)),
        ...     keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.GlobalAveragePooling2D(),
        ...     keras.layers.Dense(2, activation="softmax"),
        ... ])
        >>> out = kx.ablation_cam(model).predict(np.random.rand(5, 24, 32, 3), verbose=0)
        >>> out["heatmap"].shape
        (5, 24, 32)
    """
    return AblationCAM(model, **options).explained_model()
