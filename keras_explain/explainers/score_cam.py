"""Score-CAM."""

import keras
from keras import ops

from keras_explain.explainers import sliding
from keras_explain.explainers.base import check_positive, heatmap_axes, take_rows
from keras_explain.explainers.cam import FeatureMap
from keras_explain.explainers.resize import resize
from keras_explain.incremental.executor import bind, folded


@keras.saving.register_keras_serializable("keras_explain")
class ScoreCAM(FeatureMap):
    """The layer behind `score_cam`."""

    def __init__(self, model, *, channels=None, batch_size=64, **options):
        super().__init__(model, **options)
        check_positive("batch_size", batch_size)
        if channels is not None:
            check_positive("channels", channels)
        self.channels, self.batch_size = channels, batch_size
        self.folded = folded(self.program)
        self.image_axes = heatmap_axes(self.program, self.explained[0])
        if any(len(shape) != len(self.image_axes) for shape in self.native_shapes):
            raise ValueError(
                "Expected feature maps with as many axes as the input, because Score-CAM lays"
                f" them over it, received {self.native_shapes} and an input of shape"
                f" {self.explained[0].spec.shape}. Use `ablation_cam`."
            )

    def map_at(self, value, values, request):
        features, raw, predictions = self.program.with_outputs(
            (value, *self.program.outputs))(values)
        clean = self.scores(raw, predictions)
        chosen = self.choose(clean, request)
        maps = ops.moveaxis(self.channels_last(features), -1, 1)
        maps = _most_varied(maps, self.channels)
        count, flat = maps.shape[1], ops.reshape(maps, (-1, *ops.shape(maps)[2:]))
        program = bind(self.folded)  # once a call, outside of the loop over channels

        def score(pairs):
            rows = pairs // count
            visible = self._masked(values, rows, ops.take(flat, pairs, axis=0))
            scores = self.scores(*program(visible))
            return ops.sum(scores * ops.take(chosen, rows, axis=0), axis=-1)

        scores = sliding.for_all_pairs(score, ops.shape(maps)[0], [count], self.batch_size)
        scores = ops.reshape(scores, (-1, count))
        spread = scores - ops.mean(scores, axis=1, keepdims=True)
        reacts = sliding.unless_rounding(spread, sliding.rounding(raw, clean))
        reacts = ops.any(reacts != 0, axis=1, keepdims=True) if count > 1 else True
        weights = ops.where(reacts, ops.softmax(spread), 0.0)
        weights = ops.reshape(weights, (-1, count, *[1] * len(self.image_axes)))
        return ops.relu(ops.sum(weights * maps, axis=1)), predictions

    def _masked(self, values, rows, maps):
        """The examples `rows`, the explained input seen through `maps`."""
        inputs = take_rows(values, rows)
        index = self.program.inputs.index(self.explained[0])
        image = inputs[index]
        maps = resize(maps, [ops.shape(image)[a] for a in self.image_axes])
        space = tuple(range(1, len(maps.shape)))
        low = ops.min(maps, axis=space, keepdims=True)
        maps = ops.divide_no_nan(maps - low, ops.max(maps, axis=space, keepdims=True) - low)
        for axis in range(1, len(image.shape)):
            if axis not in self.image_axes:
                maps = ops.expand_dims(maps, axis)
        dtype = keras.backend.standardize_dtype(image.dtype)
        pixels = maps * ops.cast(image, "float32")
        inputs[index] = ops.cast(pixels if "float" in dtype else ops.round(pixels), dtype)
        return inputs

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


def score_cam(model, layer=None, target=None, *, channels=None, batch_size=64, **options):
    """Build a model that weights feature maps by measuring instead of differentiating.

    Each channel of the feature map is enlarged, scaled to 0..1 and laid over the image as a
    mask; the softmax over the channels of the class's scores weights the maps. No gradient, so
    no noise or saturation of one, at the price of one forward pass per channel (1,280 for
    MobileNetV2): `channels` limits it. The masked image is dark outside the mask, which a
    network may never have seen.

    Wang et al. 2020, "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural
    Networks", https://arxiv.org/abs/1910.01279. Its baseline score, the same for all channels,
    cancels in the softmax.

    Args:
        model: a built `keras.Model` (Functional, Sequential, nested or traceable subclass). It
            is shared and never changed.
        layer: the feature map to read, see `grad_cam`. None takes the last one.
        target: the class to explain, see `grad_cam`.
        channels: how many channels to try, those that vary most over each image. None: all.
        batch_size: forward passes at a time. It bounds the memory and changes no number.
        **options: output, input, node_index, reshape, score, resize, normalize: see `grad_cam`.

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
        >>> kx.score_cam(model)(np.random.rand(5, 24, 32, 3))["heatmap"].shape
        (5, 24, 32)
    """
    return ScoreCAM(
        model, layer=layer, target=target, channels=channels, batch_size=batch_size, **options
    ).explained_model()
