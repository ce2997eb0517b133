"""Score-CAM."""

from typing import Annotated, Unpack

import keras
from keras import ops

from keras_explain.checks import check_positive
from keras_explain.engine import sliding
from keras_explain.engine.folding import bind, fold
from keras_explain.engine.hiding import expand_mask
from keras_explain.explainers._cam import FeatureMap
from keras_explain.explainers._explained_model import ExplainedModel
from keras_explain.explainers._options import FeatureMapOptions
from keras_explain.graph.rows import take_rows
from keras_explain.signatures import spell_out


@keras.saving.register_keras_serializable("keras_explain")
class ScoreCAM(FeatureMap):
    """The layer behind `score_cam`."""

    def __init__(self, model, *, channels=None, batch_size=64, **options):
        super().__init__(model, **options)
        batch_size = check_positive("batch_size", batch_size)
        if channels is not None:
            channels = check_positive("channels", channels)
        self.channels, self.batch_size = channels, batch_size
        self.folded = fold(self.question.program)
        if any(
                len(shape) != len(self._image_axes(self.sources[v]))
                for v, shape in zip(self.features, self.native_shapes, strict=True)):
            raise ValueError(
                "Expected feature maps with as many axes as the input, because Score-CAM lays"
                f" them over it, received {self.native_shapes} and an input of shape"
                f" {self.question.explained[0].spec.shape}. Use `ablation_cam`."
            )

    def map_at(self, value, values, request):
        features, raw, predictions = self.question.program.with_outputs(
            (value, *self.question.program.outputs))(values)
        clean = self.question.scores(raw, predictions)
        chosen = self.question.choose_class(clean, request)
        maps = ops.moveaxis(self.channels_last(features, value), -1, 1)
        maps = _most_varied(maps, self.channels)
        count, flat = maps.shape[1], ops.reshape(maps, (-1, *ops.shape(maps)[2:]))
        program = bind(self.folded)  # once a call, outside of the loop over channels

        def score(pairs):
            rows = pairs // count
            visible = self._mask(values, value, rows, ops.take(flat, pairs, axis=0))
            scores = self.question.scores(*program(visible))
            return ops.sum(scores * ops.take(chosen, rows, axis=0), axis=-1)

        scores = sliding.for_all_pairs(score, ops.shape(maps)[0], [count], self.batch_size)
        scores = ops.reshape(scores, (-1, count))
        spread = scores - ops.mean(scores, axis=1, keepdims=True)
        reacts = sliding.unless_rounding(spread, self.question.rounding(raw, clean, chosen))
        reacts = ops.any(reacts != 0, axis=1, keepdims=True) if count > 1 else True
        weights = ops.where(reacts, ops.softmax(spread), 0.0)
        weights = ops.reshape(weights, (-1, count, *[1] * (len(maps.shape) - 2)))
        return ops.relu(ops.sum(weights * maps, axis=1)), predictions

    def _mask(self, values, value, rows, maps):
        """The examples `rows`, the explained input seen through `maps`."""
        inputs = take_rows(values, rows)
        source = self.sources[value]
        index = self.question.index(source)
        image = inputs[index]
        maps = self.lay_over(maps, value, values, outside="edge")
        space = tuple(range(1, len(maps.shape)))
        low = ops.min(maps, axis=space, keepdims=True)
        maps = ops.divide_no_nan(maps - low, ops.max(maps, axis=space, keepdims=True) - low)
        maps = expand_mask(maps, len(image.shape), self._image_axes(source))
        dtype = keras.backend.standardize_dtype(image.dtype)
        pixels = maps * ops.cast(image, "float32")
        inputs[index] = ops.cast(pixels if "float" in dtype else ops.round(pixels), dtype)
        return inputs

    def run_layers_alone(self):
        had, self.folded = self.folded is not self.question.program, self.question.program
        return had

    def get_config(self):
        return {**super().get_config(), "channels": self.channels, "batch_size": self.batch_size}


def _most_varied(maps, count):
    """The `count` channels of largest variance of each image, from (N, channels, ...)."""
    if count is None or count >= maps.shape[1]:
        return maps
    space = tuple(range(2, len(maps.shape)))
    best = ops.argsort(-ops.var(maps, axis=space), axis=-1)[:, :count]
    best = ops.reshape(best, (-1, count, *[1] * len(space)))
    return ops.take_along_axis(maps, best, axis=1)


class ScoreCAMOptions(FeatureMapOptions, total=False):
    """What `score_cam` takes besides."""

    channels: Annotated[
        int | None,
        "how many channels to try, those that vary most over each image. None: all.",
    ]
    batch_size: Annotated[
        int,
        "forward passes at a time. It bounds the memory and changes no number.",
    ]


@spell_out(ScoreCAM)
def score_cam(model: keras.Model, **options: Unpack[ScoreCAMOptions]) -> ExplainedModel:
    """Build a model that weights feature maps by measuring instead of differentiating.

    Each channel of the feature map is enlarged, scaled to 0..1 and laid over the image as a
    mask; the softmax over the channels of the class's scores weights the maps. No gradient, so
    no noise or saturation of one, at the price of one forward pass per channel (1,280 for
    MobileNetV2): `channels` limits it. The masked image is dark outside the mask, which a
    network may never have seen.

    Reference: Wang et al. 2020, "Score-CAM: Score-Weighted Visual Explanations for Convolutional
    Neural Networks", https://arxiv.org/abs/1910.01279. Its baseline score, the same for all
    channels, cancels in the softmax.

    Args:
        model: a built `keras.Model` (Functional, Sequential, nested or traceable subclass). It
            is shared and never changed.
        **options: those of `ScoreCAMOptions`; `help` shows each.

    Returns:
        A `keras.Model` to {"predictions", "heatmap"}; the heatmap is non-negative, float32 of
        shape (N, H, W), in units of the activation: a mean of feature maps.

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
        >>> out = kx.score_cam(model).predict(np.random.rand(5, 24, 32, 3), verbose=0)
        >>> out["heatmap"].shape
        (5, 24, 32)
    """
    return ScoreCAM(model, **options).explained_model()
